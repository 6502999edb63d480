"""What a range test says about losses of every shape, and that it repeats."""

import keras
import numpy as np
import pytest

import onecycle
from onecycle.results import StopReason
from onecycle.suggestions.smoothing import smooth

ops = keras.ops


def arrays(rows=1280):
    """Inputs and targets that a small network can learn."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(rows, 4)).astype("float32")
    return x, (3 * (x[:, :1] + x[:, 1:2])).astype("float32")


def network(loss="mse"):
    """A small network with dropout."""
    keras.utils.set_random_seed(2)
    layers = [keras.Input((4,)), keras.layers.Dense(16, "relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def find(model, **options):
    """A test over the usual range."""
    arguments = {"num_steps": 80, "verbose": 0, **options}
    return onecycle.find_learning_rate(model, *arrays(), **arguments)


def test_a_test_that_diverges_stops_and_suggests_a_rate_below():
    """The losses end where it stopped, and the suggestion lies well under the rate at which it did."""
    result = find(network())
    assert result.stop_reason in (StopReason.DIVERGED, StopReason.NON_FINITE)
    assert len(result.losses) == len(result.learning_rates) < 80
    assert 1e-4 < result.learning_rate <= result.learning_rates[-1] / 10 * 1.001
    assert result.optimizer == "SGD"
    assert result.backend == keras.backend.backend()
    assert result.versions["keras"] == keras.__version__


def test_a_test_that_never_diverges_says_so():
    """At rates that are all too low there is no number, but the advice to raise the range."""
    result = find(network(), max_learning_rate=1e-5)
    assert result.stop_reason is StopReason.COMPLETED
    with pytest.raises(ValueError, match="max_learning_rate"):
        _ = result.learning_rate


def test_a_constant_loss_gives_no_number():
    """A loss that does not depend on the weights is recorded as it is, and nothing is believed of it."""
    result = find(network(lambda y, y_pred: 0.0 * ops.sum(y_pred) + 3.0))
    assert set(result.losses.tolist()) == {3.0}
    assert result.suggestion.learning_rate is None
    assert result.stop_reason is StopReason.COMPLETED


def test_a_negative_loss_is_tested_as_any_other():
    """A loss lowered by a constant gives the same losses, lowered, and a suggestion near the other's."""
    plain = find(network(), seed=5)
    lowered = find(network(lambda y, y_pred: ops.mean((y - y_pred) ** 2, axis=-1) - 200.0), seed=5)
    shared = min(len(plain.losses), len(lowered.losses)) - 5
    assert shared > 20
    assert (lowered.losses[:shared] < 0).all()
    np.testing.assert_allclose(lowered.losses[:shared] + 200, plain.losses[:shared], rtol=1e-3, atol=1e-3)
    assert lowered.learning_rate == pytest.approx(plain.learning_rate, rel=0.5)


def test_a_loss_that_is_nan_from_the_start_gives_a_reason():
    """One step is enough: the test is over, and says that the loss was not finite."""
    result = find(network(lambda y, y_pred: ops.mean(y_pred) * float("nan")))
    assert result.stop_reason is StopReason.NON_FINITE
    assert len(result.losses) == 1
    assert result.suggestion.learning_rate is None
    assert result.suggestion.reason


def test_a_seed_repeats_a_test_exactly():
    """The same seed gives the same losses to the last bit, whatever was drawn between; another seed gives others."""
    model = network()
    first = find(model, seed=5)
    np.random.random(10)  # noqa: NPY002 - Keras shuffles by it
    keras.random.normal((3,))
    model.evaluate(*arrays(), verbose=0)
    assert find(model, seed=5) == first
    other = find(model, seed=6)
    assert not np.array_equal(other.losses[:20], first.losses[:20])


def test_repeats_begin_at_the_same_weights_with_other_batches():
    """Three ramps are recorded side by side, padded with NaN, and the rules read their median."""
    result = find(network(), repeats=3, seed=5)
    assert result.losses.shape == (3, len(result.learning_rates))
    for repeat in (0, 2):
        alone, losses = find(network(), seed=5 + repeat), result.losses[repeat]
        np.testing.assert_array_equal(losses[: len(alone.losses)], alone.losses)
        assert np.isnan(losses[len(alone.losses) :]).all()
    assert len({losses[0] for losses in result.losses}) == 3
    # Far from the end, where every row has a loss, the smoothed loss is that of the rows' median.
    assert result.smoothed[10] == pytest.approx(smooth(np.nanmedian(result.losses, axis=0))[10], rel=1e-6)
    assert result.smoothed[10] != pytest.approx(smooth(alone.losses)[10], rel=1e-6)


def test_validation_data_takes_the_place_of_the_batches():
    """The losses are those of data of one's own, in evaluation mode, after each step."""
    model = network()
    x, y = (array[:20] for array in arrays())
    before = model.evaluate(x, y, verbose=0)
    result = find(model, validation_data=(x, y), num_steps=20, max_learning_rate=1e-5)
    assert len(result.losses) == 20
    np.testing.assert_allclose(result.losses[0], before, rtol=1e-4)
    # Dropout and other batches would make these differ.
    assert np.ptp(result.losses) < 1e-2 * before
    weighted = find(model, validation_data=(x, y, np.arange(20.0)), num_steps=10, max_learning_rate=1e-5)
    expected = model.evaluate(x, y, sample_weight=np.arange(20.0), verbose=0)
    np.testing.assert_allclose(weighted.losses[0], expected, rtol=1e-4)


def test_it_is_silent_when_asked(capfd):
    """With `verbose=0` nothing is printed; with 1 a progress bar with the loss and the rate is."""
    model = network()
    find(model, verbose=0)
    assert capfd.readouterr().out == ""
    find(model, verbose=1)
    printed = capfd.readouterr().out
    assert "/80" in printed
    assert "learning_rate:" in printed


def test_the_rule_is_a_name_or_a_function():
    """`learning_rate` is the named rule's, or that of a rule of one's own, which sees rates and losses."""
    model = network()
    assert find(model, rule="steepest").rule == "steepest"

    def lowest(learning_rates, losses):
        return onecycle.suggestions.Suggestion(float(learning_rates[np.nanargmin(losses)]), "Where it was lowest.")

    result = find(model, rule=lowest)
    assert result.rule == "lowest"
    assert result.learning_rate == result.learning_rates[np.argmin(result.losses)]
