"""The checks of the arguments of `OneCycleScheduler`."""

from __future__ import annotations

from collections.abc import Callable

from keras.optimizers.schedules import LearningRateSchedule as Schedule

from onecycle.suggestions.arguments import check_integer, check_learning_rate, described
from onecycle.training.cycle_spec import ScheduleMaker


def check_scheduler_arguments(max_learning_rate: object, total_steps: object, schedule: object) -> None:
    """Check the peak, the length and the schedule of a cycle.

    Args:
        max_learning_rate: The peak, or None.
        total_steps: The length in steps, or None.
        schedule: A schedule, a callable that returns one, or None.

    Raises:
        TypeError, ValueError: For the first argument that is invalid, or not exactly one of peak and schedule.
    """
    _check_one_of(max_learning_rate, schedule)
    if max_learning_rate is not None:
        check_learning_rate("max_learning_rate", max_learning_rate)
    if total_steps is not None:
        _check_length(schedule, check_integer("total_steps", total_steps))


def schedule_maker(schedule: Schedule | Callable[[int], Schedule] | None) -> Schedule | ScheduleMaker | None:
    """Return the schedule in the form that a `CycleSpec` takes: a callable gets the peak as a second argument."""
    if schedule is None or isinstance(schedule, Schedule):
        return schedule
    return lambda total_steps, _peak: schedule(total_steps)


def _check_one_of(max_learning_rate: object, schedule: object) -> None:
    """Raise an error unless exactly one of the two is given."""
    if (max_learning_rate is None) == (schedule is None):
        raise ValueError(
            "Pass either `max_learning_rate` or `schedule`. "
            f"Received: max_learning_rate={described(max_learning_rate)}, schedule={described(schedule)}"
        )
    if schedule is not None and not (callable(schedule) and not isinstance(schedule, type)):
        raise TypeError(
            "Argument `schedule` must be a keras LearningRateSchedule, or a callable that takes the total number "
            f"of steps and returns one. Received: schedule={described(schedule)}"
        )


def _check_length(schedule: object, total_steps: int) -> None:
    """Raise a ValueError for a ready schedule of another length."""
    length = getattr(schedule, "total_steps", None)
    if isinstance(schedule, Schedule) and length not in (None, total_steps):
        raise ValueError(
            f"Argument `total_steps` must be that of the schedule, or left out. Received: total_steps={total_steps}, "
            f"schedule={schedule!r}. Pass a callable that takes the total number of steps and returns a schedule."
        )
