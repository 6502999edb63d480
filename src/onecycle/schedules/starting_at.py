"""One cycle inside one call of `fit`: how long it is, where it begins, putting it in and taking it out."""

from __future__ import annotations

from typing import Any

import keras

from onecycle.schedules.base import Schedule


class _Offset(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, begun later. Lives only while it is installed, so that it is never saved."""

    def __init__(self, schedule: Any, start_step: int) -> None:
        self.schedule = schedule
        self.start_step = start_step

    def __call__(self, step: Any) -> Any:
        return self.schedule(step - self.start_step)


def begun_at(schedule: Any, step: int) -> Any:
    """The schedule with its first step at the optimizer's given step."""
    if isinstance(schedule, Schedule):
        return schedule.shifted(step)
    return _Offset(schedule, step) if step else schedule


def told(schedule: Any) -> str:
    """A schedule as the call that makes it."""
    if isinstance(schedule, _Offset):
        return f"{told(schedule.schedule)} from step {schedule.start_step}"
    if isinstance(schedule, Schedule):
        return repr(schedule)
    try:
        config = schedule.get_config()
    except NotImplementedError:  # a person's own, which Keras lets be without one
        return type(schedule).__name__
    return f"{type(schedule).__name__}({', '.join(f'{name}={value!r}' for name, value in config.items())})"
