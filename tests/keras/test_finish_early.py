"""`OneCycleScheduler.finish_early`: a cycle that ends early, with a final drop of the learning rate."""

import keras
import numpy as np
import pytest
from oracles.cycles import STEPS, compiled, fit

import onecycle
from onecycle import OneCycle, OneCycleScheduler
from onecycle.schedules.early_drop import EarlyDrop

EPOCHS = 4
T = EPOCHS * STEPS
CYCLE = OneCycle(0.1, T)


class FinishAfter(keras.callbacks.Callback):
    """Calls `finish_early` after a batch of an epoch, or at the end of the epoch if `batch` is None."""

    def __init__(self, cycle, epoch, batch, steps=None):
        super().__init__()
        self.cycle, self.at, self.steps = cycle, (epoch, batch), steps

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.cycle.finish_early(self.steps)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == self.at:
            self.cycle.finish_early(self.steps)


def finish(epoch, batch, steps=None, optimizer="SGD", cycle=None, **options):
    """Train until `finish_early` ends it, and return the model and the report."""
    cycle = cycle or OneCycleScheduler(0.1)
    model = compiled(optimizer, **options)
    history = fit(model, cycle, FinishAfter(cycle, epoch, batch, steps), epochs=EPOCHS)
    return model, history


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_learning_rate_falls_to_its_last_value_and_training_stops(optimizer):
    """The weights are those of the cycle up to the call, then of a line to the last rate and the high momentum."""
    model, history = finish(1, 1, steps=4, optimizer=optimizer)
    begin, momentum = STEPS + 2, CYCLE.momentum()
    rate = EarlyDrop(CYCLE, begin, 4, CYCLE.value_at(begin - 1), CYCLE.value_at(T - 1))
    by_hand = compiled(optimizer)
    high = EarlyDrop(momentum, begin, 4, momentum.value_at(begin - 1), 0.95)
    onecycle.schedule_hyperparameters(by_hand, learning_rate=rate, momentum=high)
    fit(by_hand, epochs=2)
    fit(by_hand, epochs=1, steps_per_epoch=1)
    expected = CYCLE.value_at(begin - 1) + np.arange(1, 5) / 4 * (CYCLE.value_at(T - 1) - CYCLE.value_at(begin - 1))
    np.testing.assert_allclose([rate.value_at(begin + k) for k in range(4)], expected)
    for value, other in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-6)
    report = history.onecycle
    assert (report.steps, report.total_steps, history.epoch) == (begin + 4, begin + 4, [0, 1, 2])
    assert report.learning_rates[-1] == CYCLE.value_at(T - 1)
    assert report.learning_rates.max() == CYCLE.value_at(begin - 1)
    np.testing.assert_allclose(history.history["learning_rate"][-1], CYCLE.value_at(T - 1), rtol=1e-5)
    np.testing.assert_allclose(history.history["momentum"][-1], 0.95, rtol=1e-5)
    assert report.schedule == "OneCycle(max_learning_rate=0.1, total_steps=20) with a final drop from step 7"


def test_default_length_is_a_tenth_of_the_steps():
    """Without `steps`, the drop has a tenth of the steps made so far, at least one."""
    assert finish(0, 2)[1].onecycle.steps == 4
    assert finish(2, None)[1].onecycle.steps == 16


def test_drop_is_no_longer_than_the_training():
    """A drop that would be longer than the rest of the training takes all of the rest, and ends with the last rate."""
    report = finish(3, 1, steps=50)[1].onecycle
    assert (report.steps, report.total_steps, report.learning_rates[-1]) == (T, T, CYCLE.value_at(T - 1))


def test_next_fit_has_a_whole_cycle():
    """After an early end, the optimizer has its own rate again, and the next `fit` runs a whole cycle."""
    cycle = OneCycleScheduler(0.1)
    model, _ = finish(0, 2, cycle=cycle)
    np.testing.assert_allclose(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)), 0.02, rtol=1e-6)
    report = fit(model, cycle, epochs=2).onecycle
    assert (report.steps, report.total_steps) == (2 * STEPS, 2 * STEPS)


def test_steps_per_execution(backend):
    """With several steps per call, the drop ends with a call, and its last step has the last rate."""
    if backend == "torch":
        pytest.skip("one step per call on PyTorch")
    history = finish(1, 1, steps=3, steps_per_execution=2)[1]
    # Calls of 2, 2 and 1 steps in each epoch: the drop has the rest of the second epoch.
    assert (history.onecycle.steps, history.onecycle.total_steps) == (2 * STEPS, 2 * STEPS)
    np.testing.assert_allclose(history.history["learning_rate"][-1], CYCLE.value_at(T - 1), rtol=1e-5)


def test_finish_early_outside_a_fit():
    """Without a running cycle, and for a length below 1, there is an error."""
    with pytest.raises(RuntimeError, match="No cycle is running"):
        OneCycleScheduler(0.1).finish_early()
    with pytest.raises(ValueError, match="`steps` must be >= 1"):
        OneCycleScheduler(0.1).finish_early(0)
