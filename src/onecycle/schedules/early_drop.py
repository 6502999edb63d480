"""A schedule that is ended early, by a final drop."""

from __future__ import annotations

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.schedules.curves import Phase


class EarlyDrop(LearningRateSchedule):
    """Another schedule up to a step, then a line to the last value, which is constant afterwards.

    It exists only while it is installed, so it is never saved.

    Args:
        schedule: The other schedule.
        begin: The first step of the drop.
        steps: Length of the drop in steps, at least 1. Step `begin + steps - 1` is the first with the last value.
        before: The value of the other schedule at the step before `begin`.
        last: The last value.
    """

    def __init__(self, schedule: LearningRateSchedule, begin: int, steps: int, before: float, last: float) -> None:
        self.schedule, self.begin, self.steps = schedule, begin, steps
        self.before, self.last = before, last

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the other schedule that have ended, and the drop."""
        ended = [phase for phase in getattr(self.schedule, "phases", ()) if phase.stop < self.begin]
        stop = self.begin - 1 + self.steps
        return (*ended, Phase("final drop", self.begin - 1, stop, self.before, self.last))

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """Return the value at the optimizer's `step`."""
        if isinstance(step, int):
            return ops.convert_to_tensor(self.value_at(step), "float32")
        # Counted in integers up to here: float32 cannot tell large steps apart.
        done = ops.clip(step - (self.begin - 1), 0, self.steps)
        share = ops.cast(done, "float32") / self.steps
        dropped = self.before * (1 - share) + self.last * share
        return ops.where(step < self.begin, ops.cast(self.schedule(step), "float32"), dropped)

    def value_at(self, step: int) -> float:
        """Return the value at one step, computed on the host."""
        if step < self.begin:
            value_at = getattr(self.schedule, "value_at", None)
            return float(ops.convert_to_numpy(self.schedule(step)) if value_at is None else value_at(step))
        share = min(step - self.begin + 1, self.steps) / self.steps
        return self.before * (1 - share) + self.last * share
