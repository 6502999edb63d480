"""Tests of what a cycle says about the rest of the training: early ends, `initial_epoch`, rates set by others."""

import warnings

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.cycles import EPOCHS, STEPS, T, X, Y, compiled, fit, scheduled, weight_distance

from onecycle import OneCycle, OneCycleScheduler, WarmupLinearDecay, fit_one_cycle

pytestmark = pytest.mark.one_backend


def stop_after(epochs):
    """Return a callback that ends training after some epochs."""

    def stop(epoch, logs):
        if epoch + 1 == epochs:
            callback.model.stop_training = True

    callback = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    return callback


EARLY_STOPPING = {"monitor": "loss", "patience": 0, "mode": "max"}  # a falling loss stops training
ENDS = {
    "EarlyStopping": (lambda: [keras.callbacks.EarlyStopping(**EARLY_STOPPING)], {}, 2 * STEPS, T),
    "own callback": (lambda: [stop_after(1)], {}, STEPS, T),
    "total_steps": (list, {"total_steps": 20}, T, 20),
    "ready schedule": (list, {"max_learning_rate": None, "schedule": WarmupLinearDecay(0.1, 16)}, T, 16),
}


@pytest.mark.parametrize("case", ENDS)
def test_an_early_end_is_reported_once(case):
    """If training ends before the cycle does, one warning says after how many steps of how many, and at which rate."""
    callbacks, arguments, done, length = ENDS[case]
    cycle = OneCycleScheduler(**{"max_learning_rate": 0.1, **arguments})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        report = fit(compiled(), *callbacks(), cycle, validation_data=(X, Y), validation_freq=2).onecycle
    (message,) = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert message.startswith(f"Training ended after {done} of the {length} steps of the cycle, at the learning rate ")
    assert ("EarlyStopping" in message) == bool(callbacks())
    assert ("as long as this `fit`" in message) != bool(callbacks())
    assert (report.steps, report.total_steps, report.skipped_steps) == (done, length, 0)


def test_a_complete_cycle_and_a_diverged_one_are_no_early_end():
    """A stop at the last step and a stop because of NaN give no warning."""
    fit(compiled(), stop_after(EPOCHS), OneCycleScheduler(0.1))
    history = fit(compiled(), keras.callbacks.TerminateOnNaN(), OneCycleScheduler(0.1), x=X * np.nan)
    assert history.onecycle.steps < T


class OwnScheduler(keras.callbacks.Callback):
    """Sets the learning rate in a hook."""

    def __init__(self, hook, value=0.5, name="learning_rate"):
        super().__init__()
        setattr(self, hook, lambda *arguments, **logs: setattr(self.model.optimizer, name, value))


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_epoch_end"])
@pytest.mark.parametrize("first", [True, False])
def test_a_rate_set_by_another_callback_is_an_error(hook, first):
    """A rate that another callback sets is an error in the first epoch, or right after it, which names the callback."""
    model, epochs = compiled(), []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(ValueError, match=r"learning rate .* set to 0.5 \(it was 0.02.*OneCycleScheduler.*OwnScheduler"):
        fit(model, count, *[OneCycleScheduler(0.1), OwnScheduler(hook)][:: 1 if first else -1])
    assert len(epochs) == (2 if hook == "on_epoch_end" and first else 1)
    assert "apply" not in vars(model.optimizer)


def test_other_values_set_by_another_callback():
    """A momentum that another callback sets is an error; the same rate, or a rate at the end, is none."""
    with pytest.raises(ValueError, match=r"momentum of the optimizer was set to 0.5"):
        fit(compiled(), OneCycleScheduler(0.1), OwnScheduler("on_epoch_begin", 0.5, "momentum"))
    fit(compiled(), OneCycleScheduler(0.1), OwnScheduler("on_epoch_begin", 0.02))
    fit(compiled(), OneCycleScheduler(0.1, momentum=None), OwnScheduler("on_epoch_begin", 0.5, "momentum"))
    model = compiled()
    fit(model, OneCycleScheduler(0.1), OwnScheduler("on_train_end"))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory):
    """Return a function that loads the model saved after two epochs of a cycle of three, and the finished model."""
    path = str(tmp_path_factory.mktemp("models") / "{epoch}.keras")
    finished = compiled("Adam")
    fit(finished, OneCycleScheduler(0.1), keras.callbacks.ModelCheckpoint(path))
    return lambda: keras.saving.load_model(path.format(epoch=2)), finished


def test_initial_epoch_starts_a_new_cycle_and_says_so(half_trained):
    """With `initial_epoch` alone, a warning says that a new cycle begins and how the earlier one is continued."""
    load, _ = half_trained
    with pytest.warns(UserWarning, match=r"new cycle begins, of the 5 steps .* `total_steps=15`.* `total_steps=5`"):
        report = fit(load(), OneCycleScheduler(0.1), initial_epoch=2).onecycle
    assert (report.start_step, report.total_steps, report.steps) == (2 * STEPS, STEPS, STEPS)
    report = fit(load(), OneCycleScheduler(0.1, total_steps=STEPS), initial_epoch=2).onecycle  # no warning
    assert (report.start_step, report.total_steps, report.steps) == (2 * STEPS, STEPS, STEPS)


CONTINUED = {
    "total_steps": lambda: OneCycleScheduler(0.1, total_steps=T),
    "callable": lambda: OneCycleScheduler(schedule=lambda steps: OneCycle(0.1, steps), total_steps=T),
    "ready schedule": lambda: OneCycleScheduler(schedule=OneCycle(0.1, T)),
}


@pytest.mark.parametrize("case", CONTINUED)
def test_total_steps_continue_the_cycle_of_a_loaded_model(case, half_trained):
    """With the length of the whole cycle, a loaded model continues it to the weights of an uninterrupted training."""
    load, finished = half_trained
    model = load()
    report = fit(model, CONTINUED[case](), initial_epoch=2).onecycle
    assert (report.start_step, report.total_steps, report.steps) == (0, T, T)
    assert weight_distance(model, finished) < 1e-6


@pytest.mark.parametrize("picker", ["auto", "range test"])
def test_the_peak_of_a_continued_cycle_is_asked_for(half_trained, picker):
    """`fit_one_cycle` does not search for another peak when it continues a cycle, and trains on with the given one."""
    load, finished = half_trained
    model = load()
    arguments = {"epochs": EPOCHS, "initial_epoch": 2, "total_steps": T, "batch_size": networks.BATCH_SIZE}
    arguments |= {"shuffle": False, "verbose": 0}
    with pytest.raises(ValueError, match=rf"Pass the peak of that training as `max_learning_rate`.*{picker}"):
        fit_one_cycle(model, X, Y, max_learning_rate=picker, **arguments)
    fit_one_cycle(model, X, Y, max_learning_rate=0.1, **arguments)
    assert weight_distance(model, finished) < 1e-6


def test_a_later_cycle_is_continued():
    """A cycle that did not begin at step 0 is continued where the counter of the optimizer says."""
    model, by_hand = compiled(), compiled()
    for one in (model, by_hand):
        fit(one, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(model, OneCycleScheduler(0.1), stop_after(2))
    report = fit(model, OneCycleScheduler(0.1, total_steps=T), initial_epoch=2).onecycle
    assert (report.start_step, report.total_steps, report.steps) == (STEPS, T, T)
    fit(scheduled(by_hand, start=STEPS))
    assert weight_distance(model, by_hand) < 1e-6


def test_a_cycle_cannot_be_continued_without_the_state_of_the_optimizer():
    """If the optimizer has made no step, a cycle to be continued is refused before training."""
    model = compiled()
    with pytest.raises(ValueError, match=r"`initial_epoch=2`.*optimizer has made no step.*load_model"):
        fit(model, OneCycleScheduler(0.1, total_steps=T), initial_epoch=2)
    assert networks.distance(model.get_weights(), networks.initial_weights(0)) == 0


def test_start_step_of_a_schedule_is_kept(half_trained):
    """A schedule with a `start_step` begins at that step of the optimizer, in `fit_one_cycle` too."""
    load, finished = half_trained
    model, by_hand = load(), load()
    cycle = OneCycle(0.05, STEPS, start_step=2 * STEPS)
    report = fit(model, OneCycleScheduler(schedule=cycle), initial_epoch=2).onecycle
    assert (report.start_step, report.steps) == (2 * STEPS, STEPS)
    report = fit_one_cycle(
        by_hand, X, Y, epochs=1, schedule=cycle, verbose=0, shuffle=False, batch_size=networks.BATCH_SIZE
    ).onecycle
    assert (report.start_step, report.steps) == (2 * STEPS, STEPS)
    assert weight_distance(model, by_hand) < 1e-6
    # A schedule that begins after this training has no step in it.
    other = compiled("Adam")
    other.set_weights(finished.get_weights())
    with pytest.warns(UserWarning, match="ended after 0 of the 5"):
        report = fit(other, OneCycleScheduler(schedule=OneCycle(0.1, STEPS, start_step=T + 2))).onecycle
    assert (report.start_step, report.steps) == (T + 2, 0)
