"""What every schedule has in common: a Keras schedule that is a plain value, evaluated on the host or in the graph."""

import inspect
import math
import numbers
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.curves import Curve, CyclicalCurve, Phase


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A function of the step that is equal to any other with the same constructor arguments, and cannot be changed.

    A subclass keeps each constructor argument as the attribute of the same name, sets `total_steps` and ends its
    constructor with `_follow`.
    """

    start_step: int
    total_steps: int
    _curve: Curve | CyclicalCurve

    def __call__(self, step: Any) -> Any:
        """Returns the value at `step` as a float32 tensor.

        Args:
            step: Steps since training began: an integer, a Keras variable or an integer tensor of any shape. A Python
                integer of any size is exact.
        """
        if isinstance(step, numbers.Integral):
            return ops.convert_to_tensor(self.value_at(int(step)), "float32")
        step = ops.convert_to_tensor(step)
        dtype = keras.backend.standardize_dtype(step.dtype)
        if "int" not in dtype:
            raise ValueError(
                f"Argument `step` must be an integer. Received: step of dtype {dtype}. "
                "Count steps in integers: float32 cannot tell 2**24 from 2**24 + 1."
            )
        return self._curve.evaluate(step if dtype in ("int32", "int64") else ops.cast(step, "int32"), ops)

    def value_at(self, step: int) -> float:
        """Returns the value at one step, computed on the host in a microsecond or two."""
        return self._curve.value_at(step)

    def values(self, n: int | None = None) -> NDArray[np.float64]:
        """Returns the values for steps 0 to `n - 1` in float64, for looking before training; `n` is `total_steps`."""
        return self._curve.values(np.arange(self.total_steps if n is None else count("n", n, least=0)))

    def shifted(self, start_step: int) -> Self:
        """Returns the same schedule beginning at `start_step`, in place of where it began before."""
        return self.from_config({**self.get_config(), "start_step": start_step})

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def _follow(self, curve: Curve | CyclicalCurve) -> None:
        self._curve = curve
        self.start_step = curve.start_step

    def __repr__(self) -> str:
        return f"{getattr(type(self), '_call', type(self).__name__)}({self._told()})"

    def _told(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        told = [(p.name, getattr(self, p.name)) for p in parameters if getattr(self, p.name) != p.default]
        return ", ".join(f"{name}={value!r}" for name, value in told)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))

    def __setattr__(self, name: str, value: object) -> None:
        # A change after the curve was worked out, or after a train step was compiled, would silently do nothing.
        if "start_step" in self.__dict__:
            raise AttributeError(f"{type(self).__name__} cannot be changed: make another with the `{name}` you want.")
        super().__setattr__(name, value)


class PhasedSchedule(Schedule):
    """A schedule whose curve is made of phases."""

    _curve: Curve

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The curve's phases in training steps, for plots and tables."""
        return shifted_phases(self._curve)

    def _finish(self, phases: Sequence[Phase], start_step: int, last_step: int | None = None) -> None:
        start_step = count("start_step", start_step, least=0)
        self._follow(Curve(phases, start_step=start_step, last_step=last_step))


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


def shifted_phases(curve: Curve) -> tuple[Phase, ...]:
    """Returns a curve's phases where they are in training."""
    zero = curve.start_step
    return tuple(replace(phase, start=phase.start + zero, stop=phase.stop + zero) for phase in curve.phases)


def count(name: str, value: Any, *, least: int = 1) -> int:
    """Returns an argument that counts something as a plain int."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise ValueError(f"Argument `{name}` must be an integer. Received: {name}={value!r}")
    if value < least:
        raise ValueError(f"Argument `{name}` must be >= {least}. Received: {name}={value}")
    return operator.index(value)


def number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float = math.inf,
    remedy: str = "",
) -> float:
    """Returns an argument that measures something as a plain, finite float inside its range."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"Argument `{name}` must be a finite number. Received: {name}={value!r}")
    value = float(value)
    bound = f"> {above:g}" if above is not None else f">= {least:g}" if least is not None else ""
    bound += (" and " if bound else "") + f"<= {most:g}" if most < math.inf else ""
    low = value <= above if above is not None else least is not None and value < least
    if low or value > most:
        told = f"Argument `{name}` must be {bound}. Received: {name}={value:g}"
        raise ValueError(f"{told}. {remedy}." if remedy else told)
    return value


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """Returns an argument that must be one of a few words."""
    if value not in choices:
        raise ValueError(f"Argument `{name}` must be one of {tuple(choices)}. Received: {name}={value!r}")
    return str(value)


def fractions(**named: float | None) -> None:
    """Checks that parts of a cycle do not sum above 1."""
    told = {name: value for name, value in named.items() if value is not None}
    # A little over is the rounding of decimal fractions, such as 0.1 + 0.2.
    if sum(told.values()) > 1 + 1e-9:
        names = " + ".join(f"`{name}`" for name in told)
        received = ", ".join(f"{name}={value:g}" for name, value in told.items())
        raise ValueError(f"Arguments {names} must sum to at most 1. Received: {received}. Make one of them smaller.")
