"""Any Keras schedule as text."""

from __future__ import annotations

import keras

from onecycle.schedules.base import Schedule
from onecycle.schedules.delayed import DelayedSchedule
from onecycle.schedules.early_drop import EarlyDrop


def describe_schedule(schedule: keras.optimizers.schedules.LearningRateSchedule) -> str:
    """Return a schedule as the call that makes it. Part of the identity of a comparison's records: do not change it."""
    if isinstance(schedule, DelayedSchedule):
        return f"{describe_schedule(schedule.schedule)} from step {schedule.start_step}"
    if isinstance(schedule, EarlyDrop):
        return f"{describe_schedule(schedule.schedule)} with a final drop from step {schedule.begin}"
    if isinstance(schedule, Schedule):
        return repr(schedule)
    try:
        config = schedule.get_config()
    except NotImplementedError:  # a user's class need not have one
        return type(schedule).__name__
    return f"{type(schedule).__name__}({', '.join(f'{name}={value!r}' for name, value in config.items())})"
