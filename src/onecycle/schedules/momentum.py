"""The momentum that matches a learning-rate schedule."""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

import keras

from onecycle.schedules.base import Schedule, shifted_phases
from onecycle.schedules.curves import Curve, CyclicalCurve, Phase
from onecycle.suggestions.arguments import check_number


@runtime_checkable
class ScheduleWithMomentum(Protocol):
    """A learning-rate schedule with a matching momentum, such as `OneCycle`."""

    total_steps: int

    def shifted(self, start_step: int) -> Self:
        """Return the same schedule beginning at `start_step`."""
        ...

    def _momentum_curve(self, high: float, low: float) -> Curve | CyclicalCurve:
        """Return the curve of the matching momentum."""
        ...


@keras.saving.register_keras_serializable(package="onecycle")
class MomentumSchedule(Schedule):
    """The momentum that matches a schedule, made by `OneCycle.momentum` and `CyclicalLearningRate.momentum`.

    Args:
        schedule: The schedule of the learning rate, or its serialized form.
        high: Momentum at low learning rates, at least `low` and below 1.
        low: Momentum at the peak, at least 0.

    Raises:
        ValueError: For a schedule without a matching momentum, or unless 0 <= low <= high < 1.
    """

    def __init__(self, schedule: ScheduleWithMomentum | dict[str, Any], high: float = 0.95, low: float = 0.85) -> None:
        # A saved config holds the schedule in this form.
        if isinstance(schedule, dict):
            schedule = keras.saving.deserialize_keras_object(schedule)
        if not isinstance(schedule, ScheduleWithMomentum):
            raise ValueError(
                f"Argument `schedule` must be a schedule with a matching momentum. Received: schedule={schedule!r}"
            )
        self.schedule = schedule
        self.high = check_number("high", high, minimum=0)
        self.low = check_number("low", low, minimum=0, maximum=self.high, remedy="The pair is written (high, low)")
        if self.high >= 1:
            raise ValueError(f"Argument `high` must be < 1. Received: high={self.high:g}")
        self.total_steps = schedule.total_steps
        self._set_curve(schedule._momentum_curve(self.high, self.low))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The curve's phases in training steps. Empty for the momentum of a schedule that repeats without an end."""
        return shifted_phases(self._curve) if isinstance(self._curve, Curve) else ()

    def shifted(self, start_step: int) -> Self:
        """Return the same momentum beginning at `start_step` instead of its current start."""
        return type(self)(self.schedule.shifted(start_step), self.high, self.low)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "schedule": keras.saving.serialize_keras_object(self.schedule)}

    def __repr__(self) -> str:
        return f"{self.schedule!r}.momentum(high={self.high!r}, low={self.low!r})"
