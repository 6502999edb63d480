"""Tests of how `OneCycleScheduler` restores the optimizer, however training ended."""

import keras
import numpy as np
import pytest
from oracles.cycles import OPTIMIZERS, STEPS, T, X, Y, compiled, fit, scheduled, weight_distance

from onecycle import (
    OneCycleScheduler,
    find_learning_rate,
    schedule_hyperparameters,
    unschedule_hyperparameters,
)

pytestmark = pytest.mark.one_backend


class Interrupt(keras.callbacks.Callback):
    """Raises an error during the second epoch."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 2:
            raise self.error


class UserError(Exception):
    """The error that a callback of the user raises."""


def interrupted(optimizer="SGD", error=UserError, peak=0.1):
    """Return a model whose cycle an exception ended, and a model with the same weights and no cycle."""
    model, other = compiled(optimizer), scheduled(compiled(optimizer), peak)
    for one, callbacks in ((model, [OneCycleScheduler(peak)]), (other, [])):
        with pytest.raises(error):
            fit(one, *callbacks, Interrupt(error))
    unschedule_hyperparameters(other)
    assert weight_distance(model, other) == 0
    return model, other


def rate(model):
    """Return the learning rate of the next step."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_optimizer_is_restored(name):
    """After training, config, attributes, variable shapes and learning rate are those of a model without a cycle."""
    model, plain = compiled(name), compiled(name)
    fit(plain)
    fit(model, OneCycleScheduler(0.1))
    assert set(vars(model.optimizer)) == set(vars(plain.optimizer))
    assert set(vars(model)) == set(vars(plain))
    assert model.optimizer.get_config() == {**plain.optimizer.get_config(), "name": model.optimizer.name}
    assert [v.shape for v in model.optimizer.variables] == [v.shape for v in plain.optimizer.variables]
    assert rate(model) == pytest.approx(OPTIMIZERS[name]["learning_rate"])


def test_train_function_is_restored():
    """A model trained before gets its compiled training function back, and trains on as without the cycle."""
    model, by_hand = compiled(), compiled()
    fit(model)
    fit(by_hand)
    before = model.train_function
    fit(model, OneCycleScheduler(0.1))
    assert model.train_function is before
    fit(scheduled(by_hand, start=T))
    unschedule_hyperparameters(by_hand)
    fit(model)
    fit(by_hand)
    assert weight_distance(model, by_hand) == 0


def test_second_fit_is_a_second_cycle():
    """Two fits with one callback run two cycles, each from the first step of its fit."""
    model, by_hand = compiled("Adam"), compiled("Adam")
    callback = OneCycleScheduler(0.1)
    starts = [fit(model, callback).onecycle.start_step for _ in range(2)]
    assert starts == [0, T]
    for start in starts:
        fit(scheduled(by_hand, start=start))
    assert weight_distance(model, by_hand) < 1e-6


def test_schedule_of_the_optimizer_is_restored():
    """An optimizer built with a Keras schedule follows that schedule again after the cycle."""
    decay = keras.optimizers.schedules.InverseTimeDecay(0.05, 5, 0.5)
    model = compiled(keras.optimizers.SGD(decay, momentum=0.9))
    fit(model, OneCycleScheduler(0.1))
    assert rate(model) == pytest.approx(0.05 / (1 + 0.5 * T / 5), rel=1e-5)
    assert model.optimizer.get_config()["learning_rate"]["class_name"] == "InverseTimeDecay"


def test_hyperparameters_scheduled_before_are_restored():
    """Hyperparameters that the user scheduled before the cycle apply again after it."""
    model = schedule_hyperparameters(compiled(), learning_rate=0.003)
    fit(model, OneCycleScheduler(0.1))
    assert rate(model) == pytest.approx(0.003)


def test_next_fit_after_an_exception_has_no_cycle():
    """After an exception, Ctrl-C included, the next fit trains with the optimizer's own hyperparameters."""
    model, other = interrupted(error=KeyboardInterrupt)
    before = model.get_weights()
    fit(model)
    fit(other)
    assert weight_distance(model, other) == 0
    assert np.abs(model.get_weights()[0] - before[0]).max() > 0
    assert set(vars(model)) == set(vars(other))
    assert set(vars(model.optimizer)) == set(vars(other.optimizer))


def test_next_cycle_after_an_exception_is_complete():
    """After an exception, a fit with a new callback runs a complete cycle from its own first step."""
    model, other = interrupted("Adam")
    report = fit(model, OneCycleScheduler(0.05)).onecycle
    start = STEPS + 3
    assert (report.start_step, report.total_steps, report.steps) == (start, T, T)
    fit(scheduled(other, peak=0.05, start=start))
    assert weight_distance(model, other) < 1e-6


def test_unschedule_restores_after_an_exception():
    """After an exception, `unschedule_hyperparameters` restores the optimizer at once."""
    model, other = interrupted()
    assert "apply" in vars(model.optimizer)
    unschedule_hyperparameters(model)
    assert rate(model) == pytest.approx(0.02)
    assert set(vars(model)) == set(vars(other))
    assert set(vars(model.optimizer)) == set(vars(other.optimizer))


def test_scheduling_after_an_exception_replaces_the_cycle():
    """Schedules installed after an exception replace the interrupted cycle completely."""
    model, other = interrupted()
    for one in (model, other):
        fit(schedule_hyperparameters(one, learning_rate=0.005))
    assert weight_distance(model, other) == 0


def test_compiling_after_an_exception_removes_the_cycle():
    """A model compiled again after an exception, with any optimizer, trains as if it never had a cycle."""
    model, other = interrupted()
    for one in (model, other):
        one.compile(one.optimizer, "mae")
        fit(one)
    assert weight_distance(model, other) == 0
    assert rate(model) == pytest.approx(0.02)
    with pytest.raises(UserError):
        fit(model, OneCycleScheduler(0.1), Interrupt(UserError))
    other.set_weights(model.get_weights())
    for one in (model, other):
        one.compile(keras.optimizers.SGD(0.03, momentum=0.8), "mae")
        fit(one, OneCycleScheduler(0.05))
    assert weight_distance(model, other) == 0
    assert rate(model) == pytest.approx(0.03)


def test_range_test_after_an_exception_removes_the_cycle():
    """After an exception, `find_learning_rate` removes the cycle, and the next fit has none."""
    model, other = interrupted()
    find_learning_rate(model, X, Y, num_steps=20, verbose=0)
    fit(model)
    fit(other)
    assert weight_distance(model, other) == 0


def test_early_stopping_ends_the_cycle():
    """If EarlyStopping ends training, the cycle is removed, and the report has the number of steps made."""
    model = compiled()
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, mode="max")  # a falling loss stops training
    with pytest.warns(UserWarning, match="ended after"):
        history = fit(model, stop, OneCycleScheduler(0.1))
    assert history.onecycle.steps == len(history.epoch) * STEPS < T
    assert rate(model) == pytest.approx(0.02)
    assert "apply" not in vars(model.optimizer)


def test_cycle_survives_a_rebuilt_train_function():
    """If another callback rebuilds the training function, the cycle continues, and it is removed at the end."""

    class RebuildTrainFunction(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.make_train_function(force=True)

    model, other = compiled(), scheduled(compiled())
    fit(model, RebuildTrainFunction(), OneCycleScheduler(0.1))
    fit(other)
    assert weight_distance(model, other) == 0
    unschedule_hyperparameters(other)
    fit(model)
    fit(other)
    assert weight_distance(model, other) == 0
