"""The base classes of the schedules: Keras schedules that are immutable values and need no tensor on the host."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.keras_support.step_ops import ops_for
from onecycle.schedules.curves import Curve, CyclicalCurve, HeldCurve, Phase
from onecycle.suggestions.arguments import check_integer


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Abstract base class of a schedule, a function of the training step.

    Two schedules are equal if they have the same class and the same constructor arguments. A schedule cannot be
    changed after its construction.

    A subclass keeps each constructor argument as the attribute of the same name, sets `total_steps` and ends its
    constructor with `_set_curve`.

    Attributes:
        start_step: Step at which the schedule begins.
        total_steps: Length of the schedule in steps, or of one cycle if the schedule repeats.
    """

    start_step: int
    total_steps: int
    _curve: Curve | CyclicalCurve | HeldCurve
    # The call that `repr` shows, if it is not that of the class.
    _constructor: ClassVar[str | None] = None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the curve in training steps, for plots and tables; empty if it is not made of phases."""
        return ()

    def __call__(self, step: int | keras.Variable | keras.KerasTensor) -> keras.KerasTensor:
        """Return the value at `step` as a float32 tensor.

        Args:
            step: Training steps completed so far: an integer, a Keras variable or an integer tensor of any shape. A
                Python integer of any size is exact. An array of JAX, as optax passes it, is accepted on every backend.

        Returns:
            A tensor of the shape of `step`; for an array of JAX another one.

        Raises:
            ValueError: If `step` is not an integer.
        """
        # As a tensor, a large Python integer would overflow.
        if isinstance(step, numbers.Integral):
            return ops.convert_to_tensor(self.value_at(int(step)), "float32")
        xp = ops_for(step)
        step = xp.convert_to_tensor(step)
        dtype = keras.backend.standardize_dtype(step.dtype)
        if "int" not in dtype:
            raise ValueError(
                f"Argument `step` must be an integer. Received: step of dtype {dtype}. "
                "Count steps in integers: float32 cannot distinguish 2**24 from 2**24 + 1."
            )
        return self._curve.evaluate(step if dtype in ("int32", "int64") else xp.cast(step, "int32"), xp)

    def value_at(self, step: int) -> float:
        """Return the value at one step, computed on the host in a microsecond or two."""
        return self._curve.value_at(step)

    def values(self, n: int | None = None) -> NDArray[np.float64]:
        """Return the values of the first steps in float64, for inspection before training.

        Args:
            n: Number of steps. Defaults to `total_steps`.

        Returns:
            (n,) the values at steps 0 to `n - 1`.

        Raises:
            ValueError: If `n` is not an integer or is negative.
        """
        return self._curve.values(np.arange(self.total_steps if n is None else check_integer("n", n, minimum=0)))

    def shifted(self, start_step: int) -> Self:
        """Return the same schedule beginning at `start_step` instead of its current start."""
        return self.from_config({**self.get_config(), "start_step": start_step})

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def _set_curve(self, curve: Curve | CyclicalCurve | HeldCurve) -> None:
        """Set the curve and make the schedule immutable."""
        self._curve = curve
        # Last: once this attribute exists, `__setattr__` refuses every change.
        self.start_step = curve.start_step

    def __repr__(self) -> str:
        return f"{self._constructor or type(self).__name__}({self._arguments()})"

    def _arguments(self) -> str:
        """Return the constructor's arguments that differ from their defaults, as text."""
        parameters = inspect.signature(type(self)).parameters.values()
        arguments = [(p.name, getattr(self, p.name)) for p in parameters if getattr(self, p.name) != p.default]
        return ", ".join(f"{name}={value!r}" for name, value in arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        # A config is a dict, which has no hash; `repr` shows the same arguments.
        return hash((type(self), repr(self)))

    def __setattr__(self, name: str, value: object) -> None:
        # A change would reach neither the curve nor a compiled training step, so it would have no effect.
        if "start_step" in self.__dict__:
            raise AttributeError(f"{type(self).__name__} cannot be changed. Make another with the `{name}` you want.")
        super().__setattr__(name, value)


class PhasedSchedule(Schedule):
    """Abstract base class of a schedule whose curve is a sequence of phases."""

    _curve: Curve

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the curve in training steps, for plots and tables."""
        return shifted_phases(self._curve)

    def _set_phases(self, phases: Sequence[Phase], start_step: int, last_step: int | None = None) -> None:
        """Set the curve from its phases and make the schedule immutable."""
        start_step = check_integer("start_step", start_step, minimum=0)
        self._set_curve(Curve(phases, start_step=start_step, last_step=last_step))


def shifted_phases(curve: Curve) -> tuple[Phase, ...]:
    """Return a curve's phases in training steps, that is, shifted by the curve's `start_step`."""
    zero = curve.start_step
    return tuple(replace(phase, start=phase.start + zero, stop=phase.stop + zero) for phase in curve.phases)
