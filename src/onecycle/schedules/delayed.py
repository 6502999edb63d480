"""A schedule that starts at a later step of the optimizer."""

from __future__ import annotations

import keras
from keras import ops

from onecycle.schedules.base import Schedule


def starting_at(
    schedule: keras.optimizers.schedules.LearningRateSchedule, step: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule that starts at a step of the optimizer.

    Args:
        schedule: A schedule of onecycle, whose start is replaced, or any other of Keras, whose start is step 0.
        step: The optimizer's step at which it starts.
    """
    if isinstance(schedule, Schedule):
        return schedule.shifted(step)
    return DelayedSchedule(schedule, step) if step else schedule


class DelayedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A Keras schedule that starts at a later step. Earlier steps have its first value.

    It exists only while it is installed, so it is never saved.

    Args:
        schedule: The schedule.
        start_step: The optimizer's step that is its step 0.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, start_step: int) -> None:
        self.schedule = schedule
        self.start_step = start_step

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """Return the value at the optimizer's `step`."""
        offset = step - self.start_step
        return self.schedule(max(offset, 0) if isinstance(offset, int) else ops.maximum(offset, 0))
