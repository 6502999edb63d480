"""What every schedule has in common: a Keras schedule that is a plain value, evaluated on the host or in the graph."""

from typing import Any, Self

import keras

from onecycle.schedules.base import Schedule, shifted_phases
from onecycle.schedules.curves import Curve, Phase
from onecycle.suggestions.arguments import number


@keras.saving.register_keras_serializable(package="onecycle")
class MomentumSchedule(Schedule):
    """The momentum that goes with a schedule; `OneCycle.momentum` and `CyclicalLearningRate.momentum` make it.

    Args:
        schedule: The learning rate's schedule, or its serialized form.
        high: Momentum where the rate is low, at least `low` and below 1.
        low: Momentum at the rate's peak, at least 0.
    """

    def __init__(self, schedule: Any, high: float = 0.95, low: float = 0.85) -> None:
        if isinstance(schedule, dict):
            schedule = keras.saving.deserialize_keras_object(schedule)
        if not hasattr(schedule, "_momentum_curve"):
            raise ValueError(
                f"Argument `schedule` must be a schedule with a momentum to match. Received: schedule={schedule!r}"
            )
        self.schedule = schedule
        self.high = number("high", high, least=0)
        self.low = number("low", low, least=0, most=self.high, remedy="The pair is written (high, low)")
        if self.high >= 1:
            raise ValueError(f"Argument `high` must be < 1. Received: high={self.high:g}")
        self.total_steps = schedule.total_steps
        self._follow(schedule._momentum_curve(self.high, self.low))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The curve's phases in training steps; none for the momentum of a curve that repeats for ever."""
        return shifted_phases(self._curve) if isinstance(self._curve, Curve) else ()

    def shifted(self, start_step: int) -> Self:
        """Returns the same momentum beginning at `start_step`, in place of where it began before."""
        return type(self)(self.schedule.shifted(start_step), self.high, self.low)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "schedule": keras.saving.serialize_keras_object(self.schedule)}

    def __repr__(self) -> str:
        return f"{self.schedule!r}.momentum(high={self.high!r}, low={self.low!r})"
