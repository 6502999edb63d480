"""Ending a running cycle early: a final drop of the learning rate, after which training stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.hyperparameters.evaluation import evaluate
from onecycle.keras_support.callback_list import set_before
from onecycle.keras_support.optimizers import raw_step, steps_per_update
from onecycle.schedules.early_drop import EarlyDrop
from onecycle.training.cycle_spec import CycleSchedules, steps_to_last_update

DEFAULT_FRACTION = 0.1  # of the steps made so far, as the final drop of a cycle is a tenth of it


@dataclass(frozen=True)
class CyclePosition:
    """A running cycle, between two of its steps.

    Attributes:
        model: The model that trains.
        schedules: The schedules of the whole cycle.
        start: The optimizer's step at which the cycle began.
        length: Length of the whole cycle in steps, or None if it is unknown.
        batches: Batches per epoch, or None if unknown.
        epochs_left: Epochs that are not finished, the running one included.
    """

    model: keras.Model
    schedules: CycleSchedules
    start: int
    length: int | None
    batches: int | None
    epochs_left: int


class EarlyFinish:
    """The final drop of a cycle that ends early. It begins with the next step, and ends the training.

    Args:
        steps: Length of the drop in steps, or None for a tenth of the steps made so far. It becomes a little longer
            where a call of the compiled step makes several.
        hooks: The callbacks of the running `fit`.
        position: Returns the position of the cycle.
        replace: Called with the schedules that have the drop, and its length.
    """

    def __init__(
        self,
        steps: int | None,
        hooks: keras.callbacks.CallbackList,
        position: Callable[[], CyclePosition],
        replace: Callable[[CycleSchedules, int], None],
    ) -> None:
        self._wanted, self._position, self._replace = steps, position, replace
        self._steps = self._calls = 0
        # The schedules can only be replaced between two steps.
        set_before(hooks, "on_train_batch_begin", self._begin)
        set_before(hooks, "on_train_batch_end", self._end_call)

    def _begin(self, batch: int, logs: object = None) -> None:
        """Replace the schedules before the first step of the drop."""
        if self._steps:
            return
        at = self._position()
        optimizer = at.model.optimizer
        now = raw_step(optimizer)
        wanted = self._wanted or max(1, int(DEFAULT_FRACTION * (now - at.start)))
        left = None if at.batches is None else at.epochs_left * at.batches - batch
        # Of the batches that accumulate gradients for one update, only the last one changes the weights.
        self._count_calls(
            max(wanted, steps_per_update(optimizer)), at.model.steps_per_execution, batch, at.batches, left
        )
        self._model = at.model
        self._replace(self._with_drop(at, now), self._steps)

    def _with_drop(self, at: CyclePosition, now: int) -> CycleSchedules:
        rate, momentum = at.schedules.learning_rate, at.schedules.momentum
        steps, previous = steps_to_last_update(at.model.optimizer, self._steps, now), max(now - 1, at.start)
        before = _value(rate, previous)
        last = 0.0 if at.length is None else min(_value(rate, at.start + at.length - 1), before)
        if momentum is not None and at.schedules.momentum_pair is not None:
            # The momentum is high at low learning rates.
            momentum = EarlyDrop(momentum, now, steps, _value(momentum, previous), at.schedules.momentum_pair[0])
        return replace(at.schedules, learning_rate=EarlyDrop(rate, now, steps, before, last), momentum=momentum)

    def _end_call(self, batch: int, logs: object = None) -> None:
        """Stop training after the last call of the compiled step."""
        if self._steps:
            self._calls -= 1
            if self._calls == 0:
                self._model.stop_training = True

    def _count_calls(self, wanted: int, per_call: int, batch: int, batches: int | None, left: int | None) -> None:
        """Set the number of steps, rounded up to whole calls of the training function; at most all that are left."""
        while self._steps < wanted and (left is None or self._steps < left):
            made = per_call if batches is None else min(per_call, batches - batch)
            batch = 0 if batches is not None and batch + made == batches else batch + made
            self._steps += made
            self._calls += 1


def schedules_in_made_steps(dropped: CycleSchedules, planned: CycleSchedules, lost: int) -> CycleSchedules:
    """Return schedules with a final drop as they are in a report: at the steps that the training made.

    What a `DivergenceGuard` has lowered is as planned again, since the report is given its factors when training ends.

    Args:
        dropped: The schedules with the drop, at the optimizer's step counter.
        planned: The schedules of the cycle before any rescue.
        lost: The number of steps by which the counter is behind.
    """
    rate = _in_made_steps(dropped.learning_rate, planned.learning_rate, lost, lowered=True)
    if dropped.momentum is None or planned.momentum is None:
        return replace(dropped, learning_rate=rate)
    return replace(dropped, learning_rate=rate, momentum=_in_made_steps(dropped.momentum, planned.momentum, lost))


def _in_made_steps(
    dropped: LearningRateSchedule, planned: LearningRateSchedule, lost: int, *, lowered: bool = False
) -> LearningRateSchedule:
    if not isinstance(dropped, EarlyDrop):
        return dropped
    begin = dropped.begin + lost
    before = _value(planned, begin - 1)
    factor = dropped.before / before if lowered and before > 0 and dropped.before > 0 else 1.0
    return EarlyDrop(planned, begin, dropped.steps, dropped.before / factor, dropped.last / factor)


def _value(schedule: LearningRateSchedule, step: int) -> float:
    return float(evaluate(schedule, step))
