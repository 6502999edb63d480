"""The members' hyperparameters as inputs of a compiled program, so that one program serves all members and calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.engine.members import Hyperparameter, Member
from onecycle.hyperparameters.installation import InstalledState
from onecycle.hyperparameters.optimizer_traits import momentum_attributes
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.optimizers import inner_optimizers
from onecycle.schedules.base import Schedule
from onecycle.schedules.delayed import starting_at

_CHUNK = 4096  # steps of a schedule that are computed in one tensor operation


@dataclass(frozen=True)
class TabulatedSchedules:
    """The hyperparameters of one member at each step.

    Attributes:
        learning_rates: (steps,) float32.
        momenta: (steps,) float32, or None if the momentum is not scheduled.
    """

    learning_rates: NDArray[np.float32]
    momenta: NDArray[np.float32] | None


def tabulate_schedules(member: Member, steps: int, default_momentum: float | None) -> TabulatedSchedules:
    """Tabulate the hyperparameters of a member.

    Args:
        member: The member.
        steps: Number of training steps.
        default_momentum: Momentum of a member that specifies none. None if no member specifies one.

    Returns:
        The tables.
    """
    learning_rates = schedule_values(member.learning_rate, steps)
    if default_momentum is None:
        return TabulatedSchedules(learning_rates, None)
    momentum = default_momentum if member.momentum is None else member.momentum
    return TabulatedSchedules(learning_rates, schedule_values(momentum, steps))


def default_momentum(optimizer: keras.optimizers.Optimizer, members: Sequence[Member]) -> float | None:
    """Return the momentum of members that specify none.

    If at least one member has a momentum, it is scheduled for all of them.

    Args:
        optimizer: The model's optimizer.
        members: The members.

    Returns:
        The momentum (or beta_1) that the optimizer was built with, or None if no member specifies a momentum.
    """
    if all(member.momentum is None for member in members):
        return None
    # A momentum applies to all optimizers inside a `MultiOptimizer`, so the default is that of the first one.
    inner = inner_optimizers(optimizer)[0]
    return float(getattr(inner, momentum_attributes(inner)[-1]))


def schedule_values(value: Hyperparameter, steps: int) -> NDArray[np.float32]:
    """Return (steps,) the values of a number or of a schedule, from step 0 of the schedule."""
    if not callable(value):
        return np.full(steps, value, "float32")
    if isinstance(value, Schedule):
        # Computed on the host, without tensors.
        return np.asarray(value.shifted(0).values(steps), "float32")
    chunks = [_computed_values(value, first, min(_CHUNK, steps - first)) for first in range(0, steps, _CHUNK)]
    return np.concatenate(chunks)


def shift_schedule(value: Hyperparameter, start_step: int) -> Hyperparameter:
    """Return a schedule with its step 0 at the optimizer's step `start_step`. A number is returned unchanged."""
    return starting_at(value, start_step) if callable(value) else float(value)


class StepHyperparameters:
    """The learning rate and the momentum that an optimizer reads while a training step is traced.

    Args:
        scheduled_momentum: Whether the momentum is an input of the step. If not, the optimizer's momentum is used.
    """

    def __init__(self, *, scheduled_momentum: bool) -> None:
        self._learning_rate = _TracedValue()
        self._momentum = _TracedValue() if scheduled_momentum else None

    def set(self, learning_rate: keras.KerasTensor, momentum: keras.KerasTensor | None) -> None:
        """Set the values of the step that is traced next."""
        self._learning_rate.value = learning_rate
        if self._momentum is not None:
            self._momentum.value = momentum

    @contextmanager
    def installed(self, model: keras.Model) -> Iterator[None]:
        """Have the model's optimizer read these values within the block."""
        with preserved_installation(model):
            schedule_hyperparameters(model, learning_rate=self._learning_rate, momentum=self._momentum)
            yield


class _TracedValue(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose value at every step is the tensor that was set last."""

    value: keras.KerasTensor | None = None

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor | None:
        return self.value


@contextmanager
def preserved_installation(model: keras.Model) -> Iterator[None]:
    """Restore what is installed in the model's optimizers, and its train function, at the end of the block."""
    installation = InstalledState(model.optimizer)
    train_function = model.train_function
    try:
        yield
    finally:
        installation.restore()
        set_untracked(model, train_function=train_function)


def _computed_values(
    schedule: keras.optimizers.schedules.LearningRateSchedule, first_step: int, steps: int
) -> NDArray[np.float32]:
    """Return (steps,) the values of a schedule that can only be computed as tensors."""

    def value_at(step: keras.KerasTensor) -> keras.KerasTensor:
        return ops.cast(schedule(step), "float32")

    steps_as_tensor = ops.arange(first_step, first_step + steps, dtype="int32")
    return np.asarray(ops.convert_to_numpy(ops.vectorized_map(value_at, steps_as_tensor)))
