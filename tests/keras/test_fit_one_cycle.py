"""Tests of `fit_one_cycle`, which finds a learning rate and trains with one cycle."""

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.cycles import EPOCHS, STEPS, T, X, Y, compiled, fit, weight_distance

from onecycle import OneCycle, OneCycleScheduler, WarmupLinearDecay, fit_one_cycle
from onecycle.tasks import load_task
from onecycle.training.cycle_spec import TRIAL_STEPS

BATCH = networks.BATCH_SIZE


def one_cycle(model, x=X, y=Y, **arguments):
    """Call `fit_one_cycle` without output and without shuffling."""
    arguments = {"epochs": EPOCHS, "batch_size": BATCH, "shuffle": False, "verbose": 0, **arguments}
    return fit_one_cycle(model, x, y, **arguments)


def untouched(model):
    """Return whether the model has its initial weights."""
    return networks.distance(model.get_weights(), networks.initial_weights(0)) == 0


def test_auto_trains_with_the_picked_rate(capsys):
    """With "auto" training equals training with the picked rate, and the report has the range test."""
    model, by_hand = compiled(), compiled()
    report = one_cycle(model, seed=3).onecycle
    assert capsys.readouterr().out == ""  # the range test prints nothing either
    assert report.range_test.learning_rate == report.max_learning_rate
    fit(by_hand, OneCycleScheduler(report.max_learning_rate))
    assert weight_distance(model, by_hand) == 0
    assert report.total_steps == report.steps == T


def test_number_trains_as_with_the_callback():
    """With a number it trains as with `OneCycleScheduler`, and runs no range test."""
    model, by_hand = compiled(), compiled()
    report = one_cycle(model, max_learning_rate=0.1, momentum=(0.9, 0.8)).onecycle
    fit(by_hand, OneCycleScheduler(0.1, momentum=(0.9, 0.8)))
    assert weight_distance(model, by_hand) == 0
    assert (report.range_test, report.max_learning_rate, report.momentum) == (None, 0.1, (0.9, 0.8))


@pytest.mark.one_backend
def test_schedules():
    """A schedule keeps its own learning rates, and a callable receives the number of steps and the peak.

    It is tried before a peak is sought for it.
    """
    model, by_hand = compiled(), compiled()
    report = one_cycle(model, schedule=OneCycle(0.2, T)).onecycle
    fit(by_hand, OneCycleScheduler(0.2))
    assert weight_distance(model, by_hand) == 0
    assert (report.range_test, report.max_learning_rate) == (None, None)
    received = []

    def make(steps, peak):
        received.append((steps, peak))
        return WarmupLinearDecay(peak, steps)

    one_cycle(compiled(), schedule=make, max_learning_rate=0.05)
    report = one_cycle(compiled(), schedule=make, seed=3).onecycle
    trial = (TRIAL_STEPS, 1.0)
    assert received == [(T, 0.05), trial, (T, report.range_test.learning_rate)]
    assert report.schedule == repr(WarmupLinearDecay(report.max_learning_rate, T))
    assert report.momentum is None


class CountingIterator:
    """An endless iterator that counts the batches it has given."""

    def __init__(self):
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.count += 1
        return X[:BATCH], Y[:BATCH]


def test_generators():
    """With "auto" a generator is refused and not read; with a number and `steps_per_epoch` it trains."""
    model, data = compiled(), (pair for pair in CountingIterator())
    counting = CountingIterator()
    for generator in (data, counting):
        with pytest.raises(ValueError, match="generator"):
            fit_one_cycle(model, generator, epochs=2, steps_per_epoch=3)
    assert counting.count == 0
    assert untouched(model)
    history = one_cycle(model, data, None, epochs=2, steps_per_epoch=3, max_learning_rate=0.1, batch_size=None)
    assert history.onecycle.total_steps == history.onecycle.steps == 6


def test_missing_suggestion_is_an_error():
    """If the range test suggests nothing, an error says why, and the model is unchanged."""
    model = compiled()
    before = set(vars(model.optimizer))
    targets = keras.ops.convert_to_numpy(model(X))
    with pytest.raises(ValueError, match="learning rate"):
        one_cycle(model, X, targets)  # the loss is 0 from the start
    assert untouched(model)
    assert set(vars(model.optimizer)) == before
    assert "apply" not in vars(model.optimizer)


def test_callbacks_and_arguments_are_passed_on():
    """The user's callbacks run once, in their order and before the cycle's, and `fit` receives its other arguments."""
    calls = []

    class Recorder(keras.callbacks.Callback):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_train_begin(self, logs=None):
            calls.append(self.name)

        def on_train_end(self, logs=None):
            calls.append((self.name, "apply" in vars(self.model.optimizer)))

    model = compiled()
    history = one_cycle(model, max_learning_rate=0.1, callbacks=[Recorder("a"), Recorder("b")], validation_split=0.2)
    assert calls == ["a", "b", ("a", True), ("b", True)]
    assert len(history.history["val_loss"]) == EPOCHS
    assert history.onecycle.total_steps == T - EPOCHS
    more = {"callbacks": Recorder("c"), "validation_data": (X, Y), "initial_epoch": 2}
    with pytest.warns(UserWarning, match="new cycle begins, of the 5 steps"):
        history = one_cycle(model, max_learning_rate=0.1, **more)
    assert calls[4:] == ["c", ("c", True)]
    assert len(history.history["val_loss"]) == 1
    assert history.onecycle.total_steps == STEPS


BAD = {
    "epochs": ({"epochs": 0}, "`epochs` must be >= 1"),
    "peak": ({"max_learning_rate": 0}, "`max_learning_rate` must be > 0"),
    "word": ({"max_learning_rate": "best"}, 'must be a number, "auto", "range test", "race" or a result of these. Rec'),
    "sweep": ({"max_learning_rate": "sweep"}, "The sweep was removed; a race finds better peaks"),
    "both": ({"schedule": OneCycle(0.1, T), "max_learning_rate": 0.1}, "either `schedule` or"),
    "momentum": ({"momentum": (0.8, 0.9)}, r"pair \(high, low\)"),
    "conflict": ({"callbacks": [keras.callbacks.ReduceLROnPlateau()]}, "ReduceLROnPlateau"),
    "cycle": ({"callbacks": [OneCycleScheduler(0.1)]}, "Keep one"),
    "batch_size": ({"batch_size": 0}, "`batch_size` must be >= 1"),
    "no data": ({"x": None}, "`x`"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "at least one row"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    """A bad argument is refused before the range test and before training."""
    arguments, message = BAD[case]
    model = compiled()
    with pytest.raises(ValueError, match=message):
        one_cycle(model, **arguments)
    assert untouched(model)
    assert getattr(model, "history", None) is None


def test_impossible_settings_are_refused():
    """A momentum pair for SGD without momentum, an uncompiled model and a number as schedule are refused."""
    model = compiled(keras.optimizers.SGD(0.02))
    with pytest.raises(ValueError, match="no velocity"):
        one_cycle(model, momentum=(0.95, 0.85))
    with pytest.raises(ValueError, match="compile"):
        one_cycle(networks.keras_model(0))
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        one_cycle(model, schedule=0.1)


def test_each_epoch_is_printed_on_its_own_line(capsys):
    """With `verbose=1` each epoch starts on a new line, below the progress bar of the range test."""
    one_cycle(compiled(), verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]


@pytest.mark.one_backend
def test_boston_housing_error_is_well_below_the_mean_predictor(data_dir):
    """After 12 epochs on Boston Housing the error is less than two thirds of that of predicting the mean."""
    task = load_task("boston-housing", data_dir=data_dir)
    (x, y), (x_test, y_test) = task.data
    model = task.build(seed=0)
    fit_one_cycle(model, x, y, epochs=12, batch_size=task.batch_size, verbose=0, seed=0)
    mean_error = np.abs(y_test - y.mean()).mean()
    assert model.evaluate(x_test, y_test, verbose=0, return_dict=True)["mae"] < mean_error * 2 / 3


def test_auto_repeats_the_range_test_with_a_wider_range():
    """If the loss explodes only far above the default range, the rate comes from a second, wider range test."""
    x, y = np.random.default_rng(0).normal(size=(2, 320, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(keras.optimizers.SGD(momentum=0.9), loss=lambda y, y_pred: 1e-3 * keras.ops.mean((y - y_pred) ** 2))
    history = fit_one_cycle(model, x, y, epochs=1, seed=0, verbose=0)
    assert history.onecycle.range_test.num_steps == 900
    assert history.onecycle.max_learning_rate > 1
