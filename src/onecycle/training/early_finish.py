"""Ending a running cycle early: a final drop of the learning rate, after which training stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras

from onecycle.hyperparameters.evaluation import evaluate
from onecycle.keras_support.optimizers import raw_step, steps_per_update
from onecycle.schedules.early_drop import EarlyDrop
from onecycle.training.cycle_spec import CycleSchedules, steps_to_last_update

DEFAULT_FRACTION = 0.1  # of the steps made so far, as the final drop of a cycle is a tenth of it


class EarlyFinish:
    """The final drop of a cycle that ends early.

    Args:
        steps: Length of the drop in steps, or None for a tenth of the steps made so far.

    Attributes:
        steps: The length of the drop: that given, or a little longer, to the end of a call of the compiled step.
    """

    def __init__(self, steps: int | None) -> None:
        self._wanted = steps
        self._calls = 0
        self.steps = 0

    def begin(
        self,
        model: keras.Model,
        schedules: CycleSchedules,
        *,
        start: int,
        length: int | None,
        batch: int,
        batches: int | None,
        epochs_left: int,
    ) -> CycleSchedules:
        """Return the schedules of the cycle with its early end, before the first step of the drop.

        Args:
            model: The model that trains.
            schedules: The schedules of the whole cycle.
            start: The optimizer's step at which the cycle began.
            length: Length of the whole cycle in steps, or None if it is unknown.
            batch: Number of batches of the epoch so far.
            batches: Batches per epoch, or None if unknown.
            epochs_left: Epochs that are not finished, the running one included.
        """
        optimizer = model.optimizer
        now = raw_step(optimizer)
        wanted = self._wanted or max(1, int(DEFAULT_FRACTION * (now - start)))
        wanted = max(wanted, steps_per_update(optimizer))
        left = None if batches is None else epochs_left * batches - batch
        self._count_calls(wanted, model.steps_per_execution, batch, batches, left)
        drop = steps_to_last_update(optimizer, self.steps, now)
        rate = schedules.learning_rate
        before = _value(rate, max(now - 1, start))
        end = None if length is None else _value(rate, start + length - 1)
        dropped = EarlyDrop(rate, now, drop, before, min(before, end or 0.0))
        momentum = schedules.momentum
        if momentum is not None and schedules.momentum_pair is not None:
            # The momentum is high at low learning rates.
            value = _value(momentum, max(now - 1, start))
            momentum = EarlyDrop(momentum, now, drop, value, schedules.momentum_pair[0])
        return replace(schedules, learning_rate=dropped, momentum=momentum)

    def end_call(self, stop: Callable[[], None]) -> None:
        """Count a call of the compiled step, and call `stop` after the last one."""
        self._calls -= 1
        if self._calls == 0:
            stop()

    def _count_calls(self, wanted: int, per_call: int, batch: int, batches: int | None, left: int | None) -> None:
        """Set the number of steps to that of the fewest calls that make as many as wanted, or all that are left."""
        while self.steps < wanted and (left is None or self.steps < left):
            made = per_call if batches is None else min(per_call, batches - batch)
            batch = 0 if batches is not None and batch + made == batches else batch + made
            self.steps += made
            self._calls += 1


def _value(schedule: keras.optimizers.schedules.LearningRateSchedule, step: int) -> float:
    return float(evaluate(schedule, step))
