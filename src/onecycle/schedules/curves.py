"""Curves made of phases and their evaluation. Needs only NumPy and the standard library.

A curve is a tuple of `Phase`s, each starting where the one before stops; `onecycle.schedules.phases` makes the phases
of the known schedules. The same shapes are evaluated for one Python integer on the host (`Curve.value_at`), for many
steps in NumPy float64 (`Curve.values`) and, from a table, inside a compiled training step (`Curve.evaluate`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import keras

SHAPES = ("linear", "cosine", "1-sqrt", "exponential")

# What the formulas take and return. A tensor fits as well, since Keras declares no types.
Value = TypeVar("Value", float, "NDArray[np.float64]")


@dataclass(frozen=True)
class Phase:
    """One phase of a curve: from `first` at step `start` to `last` at step `stop`.

    With `p = (step - start) / (stop - start)`, and `first * (1 - w) + last * w` so that both ends are exact:
    `linear` has `w = p`, `cosine` has `w = sin(pi p / 2)**2 = (1 - cos(pi p)) / 2`, `1-sqrt` has `w = sqrt(p)`;
    `exponential` is `first**(1 - p) * last**p`.

    Args:
        name: Name of the phase in plots: "warm-up", "decay", "final drop", ...
        start, stop: Steps, which may be fractional (PyTorch's boundaries are); `start < stop`.
        first, last: Values at `start` and `stop`; above 0 for `exponential`.
        shape: One of `SHAPES`.

    Raises:
        ValueError: For an unknown shape, an empty phase, or an exponential phase with an end that is not above 0.
    """

    name: str
    start: float
    stop: float
    first: float
    last: float
    shape: str = "linear"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"Argument `shape` must be one of {SHAPES}. Received: shape={self.shape!r}")
        if not self.start < self.stop:
            raise ValueError(f"A phase must start before it stops. Received: start={self.start}, stop={self.stop}")
        if self.shape == "exponential" and min(self.first, self.last) <= 0:
            raise ValueError(
                f"An exponential phase needs values > 0. Received: first={self.first}, last={self.last}. "
                'Use shape="linear" to start or end at zero.'
            )


class Curve:
    """A sequence of phases, prepared for evaluation. It is constant before its first step and after its last.

    Example:
        >>> curve = Curve((Phase("warm-up", 0, 2, 100, 1000), Phase("decay", 2, 5, 1000, 100)))
        >>> [curve.value_at(step) for step in (0, 1, 2, 5, 99)]
        [100.0, 550.0, 1000.0, 100.0, 100.0]

    Args:
        phases: In order, each starting where the one before stops. At a boundary the later phase applies.
        start_step: Shift of the whole curve in whole steps. It is stored separately, so that fractional boundaries
            keep their precision at large steps.
        last_step: The step from which on the value is constant. Defaults to the end of the last phase; less where
            another library cuts its last phase short.

    Raises:
        ValueError: If there is no phase, or a phase does not start where the one before stops.

    Attributes:
        phases: The phases, not shifted.
        start_step: The shift.
        end: The step from which on the value is constant, not shifted.
        final_value: The value from `end` on.
    """

    def __init__(self, phases: Sequence[Phase], *, start_step: int = 0, last_step: int | None = None) -> None:
        self.phases = tuple(phases)
        if not self.phases:
            raise ValueError("A curve needs at least one phase. Received: phases=()")
        for before, after in zip(self.phases, self.phases[1:], strict=False):
            if before.stop != after.start:
                raise ValueError(f"Each phase must start where the one before stops. Received: {before}, {after}")
        self.start_step = start_step
        # Plain tuples, so that `value_at` costs about a microsecond and a curve can be pickled.
        self._rows = tuple(
            (p.stop, p.start, p.stop - p.start, p.first, p.last, min(p.first, p.last), max(p.first, p.last),
             _INTERPOLATE[p.shape])
            for p in self.phases
        )  # fmt: skip
        self.end = math.ceil(self.phases[-1].stop) if last_step is None else last_step
        self.final_value = self._value_inside(min(self.end, self.phases[-1].stop))

    def value_at(self, step: int) -> float:
        """Return the value at one step, computed on the host in about a microsecond."""
        step -= self.start_step
        if step >= self.end:
            return self.final_value
        return self._value_inside(max(step, 0))

    def values(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the values at an array of integer steps, in float64."""
        offset = np.maximum(np.asarray(steps) - self.start_step, 0)
        out = np.full(offset.shape, self.final_value)
        remaining = offset < self.end
        for stop, start, length, first, last, low, high, interpolate in self._rows:
            inside = remaining & (offset < stop)
            # Rounding must not carry a value beyond the ends of its phase.
            out[inside] = np.clip(interpolate(first, last, (offset[inside] - start) / length, np), low, high)
            remaining &= ~inside
        return out

    def evaluate(self, step: keras.KerasTensor, ops: ModuleType) -> keras.KerasTensor:
        """Return the values at integer steps, a tensor of any shape, as float32 in `ops = keras.ops`."""
        # The table is built from curves, so its module imports this one.
        from onecycle.schedules.curve_tables import curve_table

        return curve_table(self, "int64" if ops.dtype(step) == "int64" else "int32").evaluate(step, ops)

    def _value_inside(self, step: float) -> float:
        for stop, start, length, first, last, low, high, interpolate in self._rows:
            if step < stop:
                value: float = interpolate(first, last, (step - start) / length, math)
                return min(max(value, low), high)
        return float(self.phases[-1].last)


class HeldCurve:
    """A curve that is evaluated once for several steps in a row, as for the batches of one accumulated update.

    Args:
        curve: The curve, which begins at step 0.
        steps: Number of steps that share a value.
        start_step: Shift of the whole curve in whole steps.
    """

    def __init__(self, curve: Curve, steps: int, start_step: int) -> None:
        self.curve, self.steps, self.start_step = curve, steps, start_step

    def value_at(self, step: int) -> float:
        """Return the value at one step, on the host."""
        return self.curve.value_at((step - self.start_step) // self.steps)

    def values(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the values at an array of integer steps, in float64."""
        return self.curve.values((np.asarray(steps) - self.start_step) // self.steps)

    def evaluate(self, step: keras.KerasTensor, ops: ModuleType) -> keras.KerasTensor:
        """Return the values at integer steps, a tensor of any shape, as float32 in `ops = keras.ops`."""
        return self.curve.evaluate((step - self.start_step) // self.steps, ops)


class CyclicalCurve:
    """An endless triangle wave between `base` and `peak`: `base + (peak - base) * w`, where `mode` scales `w`.

    Whole cycles are subtracted while the step is still an integer, so the wave is as exact at step 10**9 as at 0.

    Args:
        base, peak: Value at the beginning, and half a cycle later (in the first cycle).
        step_size: Steps in half a cycle.
        mode: `triangular` keeps the height; `triangular2` halves it with each cycle; `exp_range` multiplies it by
            `gamma**step`.
        gamma: Factor per step for `exp_range`; the other modes ignore it.
        start_step: Shift of the whole curve in whole steps.
    """

    def __init__(self, base: float, peak: float, *, step_size: int, mode: str, gamma: float, start_step: int) -> None:
        self.base, self.peak, self.step_size = base, peak, step_size
        self.mode, self.gamma, self.start_step = mode, gamma, start_step

    def value_at(self, step: int) -> float:
        """Return the value at one step, on the host."""
        return self._wave(max(step - self.start_step, 0), float, math)

    def values(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the values at an array of integer steps, in float64."""
        offset = np.maximum(np.asarray(steps) - self.start_step, 0)
        return self._wave(offset, lambda integers: integers.astype(np.float64), np)

    def evaluate(self, step: keras.KerasTensor, ops: ModuleType) -> keras.KerasTensor:
        """Return the values at integer steps, a tensor of any shape, as float32 in `ops = keras.ops`."""
        if self.start_step:
            # Operators instead of `ops.maximum`, which casts int64 to int32 on PyTorch. A counter never reaches a start
            # beyond its largest value.
            step = step - min(self.start_step, int(np.iinfo(ops.dtype(step)).max))
            step = step * ops.cast(step > 0, ops.dtype(step))
        return self._wave(step, lambda integers: ops.cast(integers, "float32"), ops)

    def _wave(self, offset: Any, to_float: Callable[[Any], Value], xp: ModuleType) -> Value:
        period = 2 * self.step_size
        # The remainder is taken of integers, so the triangle is as exact at a late step as at the first.
        weight = to_float(self.step_size - abs(offset % period - self.step_size)) / self.step_size
        if self.mode == "triangular2":
            weight = weight * 0.5 ** to_float(offset // period)
        elif self.mode == "exp_range" and self.gamma != 1.0:
            weight = weight * xp.exp(to_float(offset) * math.log(self.gamma))
        return _linear(self.base, self.peak, weight, xp)


def range_ramp(
    min_learning_rate: float, max_learning_rate: float, num_steps: int, spacing: str = "exponential"
) -> tuple[Phase, ...]:
    """Return the ramp of a range test.

    Args:
        min_learning_rate: Exactly the value at step 0.
        max_learning_rate: Exactly the value at step `num_steps - 1`.
        num_steps: Length of the ramp in steps; a single step has the minimum.
        spacing: `"exponential"` or `"linear"`.

    Returns:
        One phase.
    """
    if num_steps == 1:
        return (Phase("ramp", 0, 1, min_learning_rate, min_learning_rate),)
    return (Phase("ramp", 0, num_steps - 1, min_learning_rate, max_learning_rate, spacing),)


def sin_squared(angle: Value, xp: ModuleType) -> Value:
    """Return the weight of the cosine shape at an angle of `pi p / 2`; as a square it stays accurate near zero."""
    sine: Value = xp.sin(angle)
    return sine * sine


def _linear(first: float, last: float, p: Value, _xp: ModuleType) -> Value:
    return first * (1 - p) + last * p


def _cosine(first: float, last: float, p: Value, xp: ModuleType) -> Value:
    return _linear(first, last, sin_squared(p * (math.pi / 2), xp), xp)


def _one_minus_sqrt(first: float, last: float, p: Value, xp: ModuleType) -> Value:
    root: Value = xp.sqrt(p)
    return _linear(first, last, root, xp)


def _exponential(first: float, last: float, p: Value, _xp: ModuleType) -> Value:
    # Not `first * (last / first) ** p`, which may miss `last` by rounding.
    result: Value = first ** (1 - p) * last**p
    return result


_INTERPOLATE: dict[str, Callable[[float, float, Any, ModuleType], Any]] = {
    "linear": _linear,
    "cosine": _cosine,
    "1-sqrt": _one_minus_sqrt,
    "exponential": _exponential,
}
