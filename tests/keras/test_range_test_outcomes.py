"""Tests of the outcomes of a range test: stop reasons, suggestions, seeds, repeats and validation data."""

import keras
import numpy as np
import pytest

import onecycle
from onecycle.keras_support.guessing_targets import guessing_loss_of_targets
from onecycle.results import StopReason
from onecycle.suggestions.smoothing import smooth

pytestmark = pytest.mark.one_backend

ops = keras.ops


def arrays(rows=1280):
    """Return inputs and targets that a small model can learn."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(rows, 4)).astype("float32")
    return x, (3 * (x[:, :1] + x[:, 1:2])).astype("float32")


def dropout_model(loss="mse"):
    """Return a small compiled model with dropout."""
    keras.utils.set_random_seed(2)
    layers = [keras.Input((4,)), keras.layers.Dense(16, "relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def range_test(model, **options):
    """Run a range test over the default range."""
    arguments = {"num_steps": 80, "verbose": 0, **options}
    return onecycle.find_learning_rate(model, *arrays(), **arguments)


def test_diverging_test_stops_and_suggests_a_lower_rate():
    """A test that diverges ends there and suggests a learning rate at most a tenth of the last one."""
    result = range_test(dropout_model())
    assert result.stop_reason in (StopReason.DIVERGED, StopReason.NON_FINITE)
    assert len(result.losses) == len(result.learning_rates) < 80
    assert 1e-4 < result.learning_rate <= result.learning_rates[-1] / 10 * 1.001
    assert result.optimizer == "SGD"
    assert result.backend == keras.backend.backend()
    assert result.versions["keras"] == keras.__version__


def test_range_that_is_too_low_gives_no_suggestion():
    """If all learning rates are too low, there is no suggestion, and the error advises a higher `max_learning_rate`."""
    result = range_test(dropout_model(), max_learning_rate=1e-5)
    assert result.stop_reason is StopReason.COMPLETED
    with pytest.raises(ValueError, match="max_learning_rate"):
        _ = result.learning_rate


def test_constant_loss_gives_no_suggestion():
    """A loss that does not depend on the weights is recorded, and nothing is suggested."""
    result = range_test(dropout_model(lambda y, y_pred: 0.0 * ops.sum(y_pred) + 3.0))
    assert set(result.losses.tolist()) == {3.0}
    assert result.suggestion.learning_rate is None
    assert result.stop_reason is StopReason.COMPLETED


def test_negative_losses_are_supported():
    """Subtracting a constant from the loss lowers the recorded losses by it and hardly changes the suggestion."""
    plain = range_test(dropout_model(), seed=5)
    lowered = range_test(dropout_model(lambda y, y_pred: ops.mean((y - y_pred) ** 2, axis=-1) - 200.0), seed=5)
    shared = min(len(plain.losses), len(lowered.losses)) - 5
    assert shared > 20
    assert (lowered.losses[:shared] < 0).all()
    np.testing.assert_allclose(lowered.losses[:shared] + 200, plain.losses[:shared], rtol=1e-3, atol=1e-3)
    assert lowered.learning_rate == pytest.approx(plain.learning_rate, rel=0.5)


def test_nan_loss_stops_at_the_first_step():
    """A loss that is NaN from the start ends the test after one step, without a suggestion but with a reason."""
    result = range_test(dropout_model(lambda y, y_pred: ops.mean(y_pred) * float("nan")))
    assert result.stop_reason is StopReason.NON_FINITE
    assert len(result.losses) == 1
    assert result.suggestion.learning_rate is None
    assert result.suggestion.reason


def test_seed_makes_a_test_repeatable():
    """The same seed gives bitwise the same losses, whatever was drawn in between, and another seed gives others."""
    model = dropout_model()
    first = range_test(model, seed=5)
    np.random.random(10)  # noqa: NPY002 - Keras shuffles with this generator
    keras.random.normal((3,))
    model.evaluate(*arrays(), verbose=0)
    assert range_test(model, seed=5) == first
    other = range_test(model, seed=6)
    assert not np.array_equal(other.losses[:20], first.losses[:20])


def test_repeats_start_from_the_same_weights():
    """Repeats start from the same weights with other batches, are padded with NaN, and the rules use their median."""
    result = range_test(dropout_model(), repeats=3, seed=5)
    assert result.losses.shape == (3, len(result.learning_rates))
    for repeat in (0, 2):
        alone, losses = range_test(dropout_model(), seed=5 + repeat), result.losses[repeat]
        np.testing.assert_array_equal(losses[: len(alone.losses)], alone.losses)
        assert np.isnan(losses[len(alone.losses) :]).all()
    assert len({losses[0] for losses in result.losses}) == 3
    # Far from the end every repeat has a loss, and the smoothed loss is that of the median over the repeats.
    assert result.smoothed[10] == pytest.approx(smooth(np.nanmedian(result.losses, axis=0))[10], rel=1e-6)
    assert result.smoothed[10] != pytest.approx(smooth(alone.losses)[10], rel=1e-6)


def test_validation_data_replaces_the_training_losses():
    """With `validation_data`, the losses are those of that data in inference mode, after each step."""
    model = dropout_model()
    x, y = (array[:20] for array in arrays())
    before = model.evaluate(x, y, verbose=0)
    result = range_test(model, validation_data=(x, y), num_steps=20, max_learning_rate=1e-5)
    assert len(result.losses) == 20
    np.testing.assert_allclose(result.losses[0], before, rtol=1e-4)
    # In training mode, or on other batches, the losses would differ.
    assert np.ptp(result.losses) < 1e-2 * before
    weighted = range_test(model, validation_data=(x, y, np.arange(20.0)), num_steps=10, max_learning_rate=1e-5)
    expected = model.evaluate(x, y, sample_weight=np.arange(20.0), verbose=0)
    np.testing.assert_allclose(weighted.losses[0], expected, rtol=1e-4)


def test_verbose_controls_the_progress_bar(capfd):
    """With `verbose=0` nothing is printed, and with 1 a progress bar shows the learning rate."""
    model = dropout_model()
    range_test(model, verbose=0)
    assert capfd.readouterr().out == ""
    range_test(model, verbose=1)
    printed = capfd.readouterr().out
    assert "/80" in printed
    assert "learning_rate:" in printed


def test_progress_bar_is_shown_before_anything_is_compiled(capfd, monkeypatch):
    """A user sees that the test has begun. Its line is ended also by an exception."""
    printed = []

    def compiled(*arguments):
        printed.append(capfd.readouterr().out)
        raise RuntimeError("not compiled")

    monkeypatch.setattr("onecycle.finding.range_test._compiled_ramp", compiled)
    with pytest.raises(RuntimeError, match="not compiled"):
        range_test(dropout_model(), verbose=1)
    assert "0/80" in printed[0]
    assert capfd.readouterr().out.endswith("\n")


def test_rule_is_a_name_or_a_function():
    """A rule is given by name or as a function of the learning rates and losses."""
    model = dropout_model()
    assert range_test(model, rule="steepest").rule == "steepest"

    def lowest(learning_rates, losses):
        best = float(learning_rates[np.nanargmin(losses)])
        return onecycle.suggestions.Suggestion(best, "The learning rate with the lowest loss.")

    result = range_test(model, rule=lowest)
    assert result.rule == "lowest"
    assert result.learning_rate == result.learning_rates[np.argmin(result.losses)]


@pytest.fixture(scope="module")
def trained():
    """A classifier near the floor of its loss, on labels of which a tenth are wrong, and its data."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(960, 6)).astype("float32")
    y = (x @ rng.normal(size=(6, 3))).argmax(axis=1)
    wrong = rng.random(960) < 0.1
    y[wrong] = rng.integers(3, size=wrong.sum())
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=8, verbose=0)
    return model, x, y


def test_a_trained_model_is_known(trained):
    """Its loss starts below that of guessing, so the test says so and suggests a rate that keeps what it learned."""
    model, x, y = trained
    result = onecycle.find_learning_rate(model, x, y, seed=0, num_steps=150, verbose=0)
    start, weights = model.evaluate(x, y, verbose=0), model.get_weights()
    model.fit(x, y, epochs=1, verbose=0, callbacks=[onecycle.OneCycleScheduler(result.learning_rate)])
    after = model.evaluate(x, y, verbose=0)
    model.set_weights(weights)

    assert result.rule == "trained_model"
    assert "already trained: its loss starts at" in result.suggestion.reason
    assert "trained_model" in result.summary()
    assert after < 1.15 * start


def test_a_trained_model_with_weights_of_classes_is_not_known(trained):
    """Small weights make any loss small, so the loss of guessing is no measure."""
    model, x, y = trained
    weights = dict.fromkeys(range(3), 0.1)
    result = onecycle.find_learning_rate(model, x, y, seed=0, num_steps=60, class_weight=weights, verbose=0)

    assert result.rule == "one_cycle"


def test_the_loss_of_guessing_of_a_regression(trained):
    """It is that of the mean of the targets for the squared and the absolute error, and unknown for others."""
    model, _, _ = trained
    y = np.array([[0.0], [2.0], [4.0], [6.0]])
    expected = {"mse": 5.0, keras.losses.MeanAbsoluteError(): 2.0, "huber": 0.0}
    for loss, value in expected.items():
        other = keras.models.clone_model(model)
        other.compile("sgd", loss)
        assert guessing_loss_of_targets(other, y) == pytest.approx(value)
        assert guessing_loss_of_targets(other, None) == 0.0
