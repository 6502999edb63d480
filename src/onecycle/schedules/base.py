"""What every schedule has in common: a Keras schedule that is a plain value, evaluated on the host or in the graph."""

import inspect
import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.schedules.curves import Curve, CyclicalCurve, Phase
from onecycle.suggestions.arguments import count


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


def shifted_phases(curve: Curve) -> tuple[Phase, ...]:
    """Returns a curve's phases where they are in training."""
    zero = curve.start_step
    return tuple(replace(phase, start=phase.start + zero, stop=phase.stop + zero) for phase in curve.phases)
