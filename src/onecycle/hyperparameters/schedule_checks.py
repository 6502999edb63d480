"""Checks of a user's schedule, whose values are seen only when it is called."""

from __future__ import annotations

from collections.abc import Iterable

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.hyperparameters.evaluation import NumberOrSchedule
from onecycle.suggestions.arguments import MAX_LEARNING_RATE, described

_SAMPLES = 5  # steps at which a schedule of known length is evaluated, its ends included


def check_schedule(
    name: str, schedule: NumberOrSchedule, steps: Iterable[int], *, below: float = MAX_LEARNING_RATE
) -> None:
    """Check the values of a Keras schedule at a few steps.

    Args:
        name: Name of the hyperparameter, for the error message.
        schedule: The schedule; a number has been checked already.
        steps: The steps.
        below: Bound that each value must stay below.

    Raises:
        TypeError: If it does not return one number for a step.
        ValueError: If a value is negative, not finite, or not below the bound.
    """
    # Those of onecycle are checked when they are made.
    if not isinstance(schedule, LearningRateSchedule) or _is_ours(schedule):
        return
    for step in steps:
        value = _one_number(schedule, step)
        if not 0 <= value < below:
            limits = "in [0, 1)" if below == 1 else ">= 0 and finite"
            raise ValueError(
                f"The schedule of `{name}` must return numbers that are {limits}. "
                f"Received: {value:g} at step {step} from {described(schedule)}"
            )


def sampled_steps(first: int, total_steps: int | None) -> list[int]:
    """Return a few steps of a schedule: its first, its last and some between them.

    Args:
        first: The first step.
        total_steps: Number of steps, or None if it is unknown.
    """
    if total_steps is None:
        return [first, first + 1]
    return sorted({first + k * (total_steps - 1) // (_SAMPLES - 1) for k in range(_SAMPLES)})


def _is_ours(schedule: LearningRateSchedule) -> bool:
    return type(schedule).__module__.startswith("onecycle.")


def _one_number(schedule: LearningRateSchedule, step: int) -> float:
    with keras.device("cpu"):
        value = schedule(step)
        array = None if value is None or isinstance(value, str) else keras.ops.convert_to_numpy(value)
    if array is None or array.shape != () or array.dtype.kind not in "fiu":
        received = described(value if array is None or not array.shape else array)
        raise TypeError(
            f"A schedule must return one number for each step. Received: {received} from {described(schedule)}"
        )
    return float(array)
