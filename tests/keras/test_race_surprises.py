"""Races whose range test misleads, whose finalists diverge, whose metric is no number, and unusual data."""

import keras
import numpy as np
import pytest
from oracles import states

import onecycle
from onecycle.finding import race_candidates
from onecycle.keras_support.partial_fit import can_repeat_epoch
from onecycle.keras_support.training_data import batch_size_of_fit, steps_of_epochs

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 6)).astype("float32")
Y = X[:, :1] * X[:, 1:2]
VALIDATION = (X[:64], Y[:64])

pytestmark = pytest.mark.one_backend


def compiled_model(optimizer=None, metrics=None, loss="mse"):
    """Return a small compiled model, always with the same weights."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(), loss, metrics=metrics)
    return model


def race(model, x=X, y=Y, **options):
    """Return a race of two given peaks, unless the options say otherwise."""
    defaults = {"epochs": 6, "candidates": [0.003, 0.03], "validation_data": VALIDATION, "seed": 1, "verbose": 0}
    return onecycle.race_learning_rates(model, x, y, **{**defaults, **options})


class Batches(keras.utils.PyDataset):
    """Ten batches."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return X[32 * index :][:32], Y[32 * index :][:32]


@pytest.mark.parametrize("given", [4, 20])
def test_arrays_are_divided_by_the_steps_of_an_epoch(given):
    """Without a batch size, as in `fit`. The cycle of the winner is as long as that of `fit_one_cycle`."""
    model, plain = compiled_model(), compiled_model()
    result = race(model, steps_per_epoch=given)
    plain_history = onecycle.fit_one_cycle(
        plain, X, Y, epochs=6, steps_per_epoch=given, max_learning_rate=result.learning_rate, verbose=0
    )
    assert result.total_steps == max(result.steps) == 6 * given == int(plain.optimizer.iterations)
    assert result.history["learning_rate"] == pytest.approx(plain_history.history["learning_rate"])


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("given", [3, 7, 10, 15, None])
def test_cycle_on_a_data_set_that_ends_within_an_epoch(given):
    """Keras then ends the epoch early; the cycle has as many steps as are made."""
    model = compiled_model()
    options = {} if given is None else {"steps_per_epoch": given}
    history = onecycle.fit_one_cycle(model, Batches(), epochs=6, max_learning_rate=0.01, verbose=0, **options)
    made = steps_of_epochs(Batches(), given, 6)
    assert int(model.optimizer.iterations) == history.onecycle.steps == history.onecycle.total_steps == sum(made)
    assert history.history["learning_rate"][-1] < 1e-4


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("given", [3, 7, 10, 25, 500])
@pytest.mark.parametrize("batch_size", [None, 32])
@pytest.mark.parametrize("split", [0.0, 0.25])
def test_cycle_on_arrays_that_end_within_an_epoch(given, batch_size, split):
    """The cycle has the steps that are made, and the range test the batches of the training."""
    model, options = compiled_model(), {"steps_per_epoch": given, "batch_size": batch_size, "validation_split": split}
    history = onecycle.fit_one_cycle(model, X, Y, epochs=5, seed=0, guard=False, verbose=0, **options)
    trained = X[: int(len(X) * (1 - split))]
    made = steps_of_epochs(trained, given, 5, batch_size=batch_size)
    assert int(model.optimizer.iterations) == history.onecycle.steps == history.onecycle.total_steps == sum(made)
    assert history.onecycle.evidence.batch_size == batch_size_of_fit(trained, batch_size, given)
    assert history.history["learning_rate"][-1] < 1e-3 * max(history.history["learning_rate"])


def test_range_test_reads_no_row_that_is_held_out():
    """Rows of `validation_split` are not trained on while the peak is sought."""
    x, seen = X.copy(), []
    x[240:, 0] = 1000.0  # the last quarter

    class Spy(layers.Layer):
        def call(self, inputs, training=False):
            if training:
                seen.append(float(keras.ops.max(inputs[:, 0])))
            return inputs

    model = keras.Sequential([keras.Input((6,)), Spy(), layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    onecycle.fit_one_cycle(model, x, Y, epochs=1, validation_split=0.25, seed=0, verbose=0)
    assert len(seen) > 20
    assert max(seen) < 1000.0


def test_race_without_a_loss_in_the_logs_is_refused():
    """A `train_step` of the user's own has to return the loss, and the model is as it was."""

    class Silent(keras.Sequential):
        def train_step(self, *args):
            result = super().train_step(*args)
            logs = result[0] if isinstance(result, tuple) else result
            quiet = {name: value for name, value in logs.items() if name != "loss"}
            return (quiet, result[1]) if isinstance(result, tuple) else quiet

    model = Silent([keras.Input((6,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    before = model.get_weights()
    with pytest.raises(ValueError, match="returns no `loss`"):
        race(model)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_report_of_a_race_counts_skipped_updates():
    """With loss scaling, the steps of the report are those that the optimizer made, as after `fit_one_cycle`."""

    def scaled():
        model = compiled_model()
        inner = keras.optimizers.SGD(0.01)
        model.compile(keras.optimizers.LossScaleOptimizer(inner, initial_scale=3e38), "mse")
        return model

    model = scaled()
    history = onecycle.fit_one_cycle(
        model, X, 10 * Y, epochs=6, max_learning_rate="race", validation_data=(X[:64], 10 * Y[:64]), seed=1, verbose=0
    )
    report, made = history.onecycle, int(model.optimizer.inner_optimizer.iterations)
    assert (report.steps, report.skipped_steps) == (made, 60 - made)
    assert made < 60


def test_report_of_a_race_has_the_length_of_the_training():
    """With accumulated gradients, batches after the last update belong to the cycle."""
    model = compiled_model(keras.optimizers.SGD(0.01, gradient_accumulation_steps=4))
    options = {"epochs": 5, "max_learning_rate": "race", "validation_data": VALIDATION, "seed": 1, "verbose": 0}
    report = onecycle.fit_one_cycle(model, X[:288], Y[:288], **options).onecycle
    assert (report.steps, report.total_steps) == (45, 45)


def test_uneven_epochs_are_refused_in_a_race():
    """A pause has to know in which epoch it is."""
    with pytest.raises(ValueError, match=r"Pass a `steps_per_epoch` that divides"):
        race(compiled_model(), steps_per_epoch=7, batch_size=32)
    assert race(compiled_model(), steps_per_epoch=25, batch_size=32).total_steps == 60
    with pytest.raises(ValueError, match=r"Pass a `steps_per_epoch` that divides.*steps_per_epoch=7"):
        race(compiled_model(), Batches(), None, steps_per_epoch=7)
    assert race(compiled_model(), Batches(), None, steps_per_epoch=5).total_steps == 30


def test_workers_of_a_data_set_read_ahead():
    """So an epoch cannot be repeated up to the step of a pause, and cuts are at ends of epochs."""
    assert can_repeat_epoch(Batches(), shuffle=True)
    assert not can_repeat_epoch(Batches(workers=2), shuffle=True)
    result = race(compiled_model(), Batches(workers=2), None)
    assert (result.cuts * result.total_steps % 10 == 0).all()


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_seed_of_a_loader():
    """A `DataLoader` draws from PyTorch's generator on every backend."""
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(rows, 32, shuffle=True)
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        found.append(race(compiled_model(), loader, None))
    np.testing.assert_array_equal(found[0].scores, found[1].scores)


def test_candidates_may_be_an_array():
    """As `np.geomspace` makes it."""
    result = race(compiled_model(), candidates=np.geomspace(0.001, 0.1, 3))
    assert result.learning_rates.tolist() == pytest.approx([0.001, 0.01, 0.1])
    with pytest.raises((TypeError, ValueError), match="Argument `candidates` must be"):
        race(compiled_model(), candidates=np.ones((2, 2)))


def test_history_is_that_of_a_fit():
    """With its parameters and in its order."""
    model, plain = compiled_model(metrics=["mae"]), compiled_model(metrics=["mae"])
    race(model)
    expected = onecycle.fit_one_cycle(
        plain, X, Y, epochs=6, max_learning_rate=0.03, validation_data=VALIDATION, verbose=0
    )
    assert model.history.params == expected.params
    assert list(model.history.history) == list(expected.history)


def test_metric_that_is_no_number_is_named():
    """The losses are finite, so nothing has diverged."""

    def undefined(y_true, y_pred):
        return keras.ops.mean(y_pred) * float("nan")

    model = compiled_model(metrics=[undefined])
    before = states.of_model(model)
    with pytest.raises(ValueError, match="val_undefined is not finite for any candidate at 24 %"):
        race(model, monitor="val_undefined", mode="min")
    assert states.difference(before, states.of_model(model)) == []


def test_dropped_candidate_returns_if_both_finalists_diverge():
    """It is trained again from its start, and the steps of both trainings are counted."""
    random = np.random.default_rng(0)
    # One direction is steep, and diverges above a peak of 1; the other matters most, and needs a high one.
    x = (random.choice([-1.0, 1.0], (2000, 2)) * [1.0, 0.1]).astype("float32")
    y = x @ np.array([[1.0], [30.0]], "float32")
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    peaks = [0.1, 1.4, 1.8]
    result = race(model, x, y, candidates=peaks, momentum=None, epochs=8, validation_data=(x[:500], y[:500]))
    assert result.learning_rate == 0.1
    assert result.note.startswith("Those that were better diverged, so 0.1 was trained again from its start.")
    assert result.reasons[0] == "Won: all others diverged."
    assert result.steps[0] == result.total_steps
    assert result.cost == pytest.approx((sum(result.steps) + round(0.24 * result.total_steps)) / result.total_steps)


@pytest.mark.parametrize(("center", "side"), [(1e-9, "higher"), pytest.param(30.0, "lower", marks=pytest.mark.long)])
def test_race_leaves_a_wrong_range_test(monkeypatch, center, side):
    """If no candidate learns anything, more follow on the side where the others may be."""
    monkeypatch.setattr(race_candidates, "_center", lambda test: center)
    result = race(compiled_model(), X, Y, candidates=3, epochs=20)
    assert f"so {side} ones were added" in result.note
    assert 1e-4 < result.learning_rate < 1


@pytest.mark.parametrize("on_disk", [False, True])
def test_accumulated_gradients_of_a_trained_optimizer(on_disk, tmp_path):
    """The last update has the last rate of the cycle, as in `fit_one_cycle`, wherever an update begins."""
    rows = 32 * 3  # three of the four batches of an update
    raced, plain = (compiled_model(keras.optimizers.SGD(0.01, gradient_accumulation_steps=4)) for _ in range(2))
    for model in (raced, plain):
        model.fit(X[:rows], Y[:rows], verbose=0, shuffle=False)
    result = race(raced, candidates=[1e-6, 0.03], directory=tmp_path / "race" if on_disk else None)
    keras.utils.set_random_seed(1)
    onecycle.fit_one_cycle(
        plain, X, Y, epochs=6, max_learning_rate=result.learning_rate, validation_data=VALIDATION, verbose=0
    )
    assert result.learning_rate == 0.03
    for one, other in zip(raced.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
