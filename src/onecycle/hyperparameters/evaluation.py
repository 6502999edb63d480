"""The value of a hyperparameter at a step, and the step itself, on the host or in the graph."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.keras_support import backends

if TYPE_CHECKING:
    from onecycle.keras_support.types import Step, StepValue

NumberOrSchedule: TypeAlias = float | LearningRateSchedule


def evaluate(value: NumberOrSchedule, step: Step) -> StepValue:
    """Return a number as it is, or the value of a schedule at a step.

    Args:
        value: A number or a schedule.
        step: The step.

    Returns:
        A float if `value` is a number or `step` is a Python integer, otherwise a tensor.
    """
    if isinstance(value, Real):
        return float(value)
    schedule: LearningRateSchedule = value
    if not isinstance(step, int):
        return schedule(step)
    # A schedule of onecycle computes a value without tensors.
    return schedule.value_at(step) if hasattr(schedule, "value_at") else backends.evaluate_on_cpu(schedule, step)


class HostStepCounter:
    """A copy of the optimizer's step counter on the host, so that no step waits for the device (PyTorch).

    PyTorch counts the writes to a tensor. So a write by other code, such as loading a checkpoint, is noticed, and the
    counter is read again.

    Args:
        counter: The optimizer's step counter.
    """

    def __init__(self, counter: keras.Variable) -> None:
        self._counter = counter
        self._step = 0
        self._writes = -1  # not read yet

    def read(self) -> int:
        """Return the current step."""
        writes = backends.write_count(self._counter)
        if writes != self._writes:
            self._step = int(backends.to_numpy(self._counter))
            self._writes = writes
        return self._step

    def advance(self) -> None:
        """Count a step of the optimizer, which adds 1 by a single write. Other writes are left for `read`."""
        if self._writes >= 0 and backends.write_count(self._counter) == self._writes + 1:
            self._step += 1
            self._writes += 1
