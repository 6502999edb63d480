"""After `OneCycleScheduler`: however training ended, the optimizer is as it was."""

import keras
import numpy as np
import pytest
from oracles.cycles import OPTIMIZERS, STEPS, T, X, Y, apart, compiled, fit, scheduled

from onecycle import (
    OneCycleScheduler,
    find_learning_rate,
    schedule_hyperparameters,
    unschedule_hyperparameters,
)


class Interrupt(keras.callbacks.Callback):
    """Raises in the middle of the second epoch."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 2:
            raise self.error


class Broken(Exception):
    """What a person's callback raises."""


def interrupted(optimizer="SGD", error=Broken, peak=0.1):
    """A model whose cycle was ended by an exception, and one stopped at the same step that then forgot the cycle."""
    model, other = compiled(optimizer), scheduled(compiled(optimizer), peak)
    for one, callbacks in ((model, [OneCycleScheduler(peak)]), (other, [])):
        with pytest.raises(error):
            fit(one, *callbacks, Interrupt(error))
    unschedule_hyperparameters(other)
    assert apart(model, other) == 0
    return model, other


def rate(model):
    """Return the rate the next step would have."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_optimizer_is_as_it_was(name):
    """After training the rate, config, attributes and variables are those of a model that never had a cycle."""
    model, plain = compiled(name), compiled(name)
    fit(plain)
    fit(model, OneCycleScheduler(0.1))
    assert set(vars(model.optimizer)) == set(vars(plain.optimizer))
    assert set(vars(model)) == set(vars(plain))
    assert model.optimizer.get_config() == {**plain.optimizer.get_config(), "name": model.optimizer.name}
    assert [v.shape for v in model.optimizer.variables] == [v.shape for v in plain.optimizer.variables]
    assert rate(model) == pytest.approx(OPTIMIZERS[name]["learning_rate"])


def test_compiled_function_is_given_back():
    """A model that was trained before keeps its compiled training function, and trains on as without the cycle."""
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
    assert apart(model, by_hand) == 0


def test_second_fit_is_a_second_cycle():
    """Two fits with one callback train as two fits under a cycle each, begun where the fit begins."""
    model, by_hand = compiled("Adam"), compiled("Adam")
    callback = OneCycleScheduler(0.1)
    starts = [fit(model, callback).onecycle.start_step for _ in range(2)]
    assert starts == [0, T]
    for start in starts:
        fit(scheduled(by_hand, start=start))
    assert apart(model, by_hand) < 1e-6


def test_schedule_of_the_optimizer_is_given_back():
    """An optimizer built with a Keras schedule follows it again after the cycle."""
    decay = keras.optimizers.schedules.InverseTimeDecay(0.05, 5, 0.5)
    model = compiled(keras.optimizers.SGD(decay, momentum=0.9))
    fit(model, OneCycleScheduler(0.1))
    assert rate(model) == pytest.approx(0.05 / (1 + 0.5 * T / 5), rel=1e-5)
    assert model.optimizer.get_config()["learning_rate"]["class_name"] == "InverseTimeDecay"


def test_hyperparameters_scheduled_by_hand_are_given_back():
    """What a person had scheduled before is in force again after the cycle."""
    model = schedule_hyperparameters(compiled(), learning_rate=0.003)
    fit(model, OneCycleScheduler(0.1))
    assert rate(model) == pytest.approx(0.003)


def test_next_fit_after_an_exception_is_plain():
    """After an exception, Ctrl-C too, the next fit trains with the plain hyperparameters."""
    model, other = interrupted(error=KeyboardInterrupt)
    before = model.get_weights()
    fit(model)
    fit(other)
    assert apart(model, other) == 0
    assert np.abs(model.get_weights()[0] - before[0]).max() > 0
    assert set(vars(model)) == set(vars(other))
    assert set(vars(model.optimizer)) == set(vars(other.optimizer))


def test_next_cycle_after_an_exception_is_whole():
    """After an exception a fit with a new callback runs a whole cycle from its own first step."""
    model, other = interrupted("Adam")
    report = fit(model, OneCycleScheduler(0.05)).onecycle
    start = STEPS + 3
    assert (report.start_step, report.total_steps, report.steps) == (start, T, T)
    fit(scheduled(other, peak=0.05, start=start))
    assert apart(model, other) < 1e-6


def test_unschedule_takes_out_what_an_exception_left():
    """`unschedule_hyperparameters` after an exception gives the optimizer back at once."""
    model, other = interrupted()
    assert rate(model) != pytest.approx(0.02)
    unschedule_hyperparameters(model)
    assert rate(model) == pytest.approx(0.02)
    assert set(vars(model)) == set(vars(other))
    assert set(vars(model.optimizer)) == set(vars(other.optimizer))


def test_scheduling_after_an_exception_begins_anew():
    """Schedules put in after an exception stand alone: nothing of the interrupted cycle is mixed into them."""
    model, other = interrupted()
    for one in (model, other):
        fit(schedule_hyperparameters(one, learning_rate=0.005))
    assert apart(model, other) == 0


def test_compiling_anew_after_an_exception():
    """A model compiled anew after an exception, with any optimizer, trains as if it never had had that cycle."""
    model, other = interrupted()
    for one in (model, other):
        one.compile(one.optimizer, "mae")
        fit(one)
    assert apart(model, other) == 0
    assert rate(model) == pytest.approx(0.02)
    with pytest.raises(Broken):
        fit(model, OneCycleScheduler(0.1), Interrupt(Broken))
    other.set_weights(model.get_weights())
    for one in (model, other):
        one.compile(keras.optimizers.SGD(0.03, momentum=0.8), "mae")
        fit(one, OneCycleScheduler(0.05))
    assert apart(model, other) == 0
    assert rate(model) == pytest.approx(0.03)


def test_range_test_after_an_exception():
    """`find_learning_rate` takes out what an exception left, and the next fit is plain."""
    model, other = interrupted()
    find_learning_rate(model, X, Y, num_steps=20, verbose=0)
    fit(model)
    fit(other)
    assert apart(model, other) == 0


def test_stopping_early_ends_the_cycle():
    """Where EarlyStopping ends training, the cycle is taken out and History tells how far it came."""
    model = compiled()
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, mode="max")  # a falling loss is not good enough
    history = fit(model, stop, OneCycleScheduler(0.1))
    assert history.onecycle.steps == len(history.epoch) * STEPS < T
    assert rate(model) == pytest.approx(0.02)
    assert "apply" not in vars(model.optimizer)


def test_training_function_remade_meanwhile():
    """Another callback may have the training function made anew: the cycle goes on, and is taken out at the end."""

    class Remake(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.make_train_function(force=True)

    model, other = compiled(), scheduled(compiled())
    fit(model, Remake(), OneCycleScheduler(0.1))
    fit(other)
    assert apart(model, other) == 0
    unschedule_hyperparameters(other)
    fit(model)
    fit(other)
    assert apart(model, other) == 0
