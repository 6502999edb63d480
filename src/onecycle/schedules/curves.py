"""The curves themselves: phases and their evaluation; standard library and NumPy only.

A curve is a tuple of `Phase`s, each going on where the one before stops; `onecycle.recipes` makes the known ones. The
same shapes are evaluated for one Python int on the host (`Curve.value_at`), for many steps in NumPy float64
(`Curve.values`) and, as a table, in a compiled training step (`Curve.evaluate`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SHAPES = ("linear", "cosine", "1-sqrt", "exponential")


@dataclass(frozen=True)
class Phase:
    """One stretch of a curve: from `first` at step `start` to `last` at step `stop`.

    With `p = (step - start) / (stop - start)`, and `first * (1 - w) + last * w` so that both ends are exact:
    `linear` has `w = p`, `cosine` has `w = sin(pi p / 2)**2 = (1 - cos(pi p)) / 2`, `1-sqrt` has `w = sqrt(p)`;
    `exponential` is `first**(1 - p) * last**p`.

    Args:
        name: What the phase is called in plots: "warm-up", "decay", "final drop", ...
        start, stop: Steps; whole or fractional (PyTorch's boundaries are); `start < stop`.
        first, last: Values at `start` and `stop`; above 0 for `exponential`.
        shape: One of `SHAPES`.

    Raises:
        ValueError: For an unknown shape, an empty phase or an exponential from or to a value that is not above 0.
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
    """A tuple of phases made ready for evaluation; its value before the first step and after the last is held.

    Example:
        >>> curve = Curve((Phase("warm-up", 0, 2, 100, 1000), Phase("decay", 2, 5, 1000, 100)))
        >>> [curve.value_at(step) for step in (0, 1, 2, 5, 99)]
        [100.0, 550.0, 1000.0, 100.0, 100.0]

    Args:
        phases: In order, each starting where the one before stops. At a boundary the later phase counts.
        start_step: Shift of the whole curve, in whole steps; kept apart so that no fraction is lost on large steps.
        last_step: The step whose value is held afterwards. By default where the last phase stops; less where a
            peer cuts its last phase short.

    Raises:
        ValueError: Unless the boundaries strictly increase without gaps.
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
        self.held = self._inside(min(self.end, self.phases[-1].stop))

    def value_at(self, step: int) -> float:
        """Returns the value at one step, on the host; about a microsecond."""
        step -= self.start_step
        if step >= self.end:
            return self.held
        return self._inside(max(step, 0))

    def values(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Returns the values at an array of integer steps, in float64."""
        offset = np.maximum(np.asarray(steps) - self.start_step, 0)
        out = np.full(offset.shape, self.held)
        todo = offset < self.end
        for stop, start, length, first, last, low, high, interpolate in self._rows:
            here = todo & (offset < stop)
            out[here] = np.clip(interpolate(first, last, (offset[here] - start) / length, np), low, high)
            todo &= ~here
        return out

    def evaluate(self, step: Any, ops: Any) -> Any:
        """Returns the values at integer steps, a tensor of any shape, as float32 in `ops = keras.ops`."""
        from onecycle.schedules.curve_tables import curve_table

        return curve_table(self, "int64" if ops.dtype(step) == "int64" else "int32").evaluate(step, ops)

    def _inside(self, step: float) -> float:
        for stop, start, length, first, last, low, high, interpolate in self._rows:
            if step < stop:
                value: float = interpolate(first, last, (step - start) / length, math)
                return min(max(value, low), high)
        return float(self.phases[-1].last)


class CyclicalCurve:
    """A triangle wave between `base` and `peak` for ever, scaled by its mode: `base + (peak - base) * w`.

    Whole cycles are taken off while the step is still an integer, so the wave is as exact at step 10**9 as at 0.

    Args:
        base, peak: Value at the beginning, and half a cycle later (in the first cycle).
        step_size: Steps in half a cycle.
        mode: `triangular`; `triangular2` halves the height with each cycle; `exp_range` has `gamma**step` of it.
        gamma: For `exp_range`.
        start_step: Shift of the whole curve, in whole steps.
    """

    def __init__(self, base: float, peak: float, *, step_size: int, mode: str, gamma: float, start_step: int) -> None:
        self.base, self.peak, self.step_size = base, peak, step_size
        self.mode, self.gamma, self.start_step = mode, gamma, start_step

    def value_at(self, step: int) -> float:
        """Returns the value at one step, on the host."""
        return float(self._at(max(step - self.start_step, 0), float, math))

    def values(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Returns the values at an array of integer steps, in float64."""
        offset = np.maximum(np.asarray(steps) - self.start_step, 0)
        return np.asarray(self._at(offset, lambda x: x.astype(np.float64), np))

    def evaluate(self, step: Any, ops: Any) -> Any:
        """Returns the values at integer steps, a tensor of any shape, as float32 in `ops = keras.ops`."""
        if self.start_step:
            # Operators, not `ops.maximum`: on PyTorch that makes int32 of int64.
            step = step - min(self.start_step, int(np.iinfo(ops.dtype(step)).max))
            step = step * ops.cast(step > 0, ops.dtype(step))
        return self._at(step, lambda x: ops.cast(x, "float32"), ops)

    def _at(self, offset: Any, to_float: Callable[[Any], Any], xp: Any) -> Any:
        period = 2 * self.step_size
        weight = to_float(self.step_size - abs(offset % period - self.step_size)) / self.step_size
        if self.mode == "triangular2":
            weight = weight * 0.5 ** to_float(offset // period)
        elif self.mode == "exp_range" and self.gamma != 1.0:
            weight = weight * xp.exp(to_float(offset) * math.log(self.gamma))
        return _linear(self.base, self.peak, weight, xp)


def values(phases: Sequence[Phase], steps: Any, xp: Any = np) -> Any:
    """Returns the values of a curve at integer steps: float64 for `xp=numpy`, float32 tensors for `xp=keras.ops`."""
    curve = Curve(phases)
    return curve.values(steps) if xp is np else curve.evaluate(xp.convert_to_tensor(steps), xp)


def value_at(phases: Sequence[Phase], step: int) -> float:
    """Returns the value of a curve at one step; make a `Curve` once where it is needed every training step."""
    return Curve(phases).value_at(step)


def range_ramp(
    min_learning_rate: float, max_learning_rate: float, num_steps: int, spacing: str = "exponential"
) -> tuple[Phase, ...]:
    """Returns the ramp of a range test: step 0 is exactly the minimum, step `num_steps - 1` exactly the maximum."""
    if num_steps == 1:
        return (Phase("ramp", 0, 1, min_learning_rate, min_learning_rate),)
    return (Phase("ramp", 0, num_steps - 1, min_learning_rate, max_learning_rate, spacing),)


def sin_squared(angle: Any, xp: Any) -> Any:
    """Returns the cosine shape's weight at an angle of `pi p / 2`; as a square it stays accurate near zero."""
    sine = xp.sin(angle)
    return sine * sine


def _linear(first: float, last: float, p: Any, _xp: Any) -> Any:
    return first * (1 - p) + last * p


def _cosine(first: float, last: float, p: Any, xp: Any) -> Any:
    return _linear(first, last, sin_squared(p * (math.pi / 2), xp), xp)


def _one_minus_sqrt(first: float, last: float, p: Any, xp: Any) -> Any:
    return _linear(first, last, xp.sqrt(p), xp)


def _exponential(first: float, last: float, p: Any, _xp: Any) -> Any:
    return first ** (1 - p) * last**p


_INTERPOLATE: dict[str, Callable[[float, float, Any, Any], Any]] = {
    "linear": _linear,
    "cosine": _cosine,
    "1-sqrt": _one_minus_sqrt,
    "exponential": _exponential,
}
