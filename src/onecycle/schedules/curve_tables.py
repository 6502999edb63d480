"""Curves as small constant tables, evaluated with few operations inside a compiled training step.

On TensorFlow, every operation takes time at every step. So all phases are evaluated at once as one short vector, and an
integer comparison selects the phase that applies. This module does not import keras: `keras.ops` is an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onecycle.schedules.curves import Curve, Phase, sin_squared

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

# A phase is aimed beyond its far end by this factor and then clipped, so that the end is exact in spite of rounding.
_OVERSHOOT = 1.0 + 3 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class CurveTable:
    """A curve with one row per phase and a constant row before and after, for float32.

    In each row `u = rate * (step - anchor - residue)` and `value = base + height * shape(u)`. The row with
    `begin <= step <= until` applies. The anchor is the end of the phase near which no digits cancel. It is
    subtracted while steps are still integers; `residue` is its fractional part.

    Attributes:
        begin: (rows,) First step of each row.
        until: (rows,) Last step of each row.
        anchor: (rows,) Whole part of the step at which `u` is 0.
        residue: (rows,) Fractional part of that step.
        rate: (rows,) Change of `u` per step.
        base: (rows,) Value at `shape(u) = 0`.
        height: (rows,) Factor of `shape(u)`.
        low: (rows,) Lower bound of the values.
        high: (rows,) Upper bound of the values.
        masks: Each shape other than `linear` that occurs -> (rows,) the rows that have it.
    """

    begin: NDArray[np.signedinteger]
    until: NDArray[np.signedinteger]
    anchor: NDArray[np.signedinteger]
    residue: NDArray[np.float32]
    rate: NDArray[np.float32]
    base: NDArray[np.float32]
    height: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    masks: tuple[tuple[str, NDArray[np.bool_]], ...]

    def evaluate(self, step: keras.KerasTensor, ops: ModuleType) -> keras.KerasTensor:
        """Return the curve at integer steps, a tensor of any shape, in `ops = keras.ops`."""
        if len(step.shape):
            # A new last axis, along which each step is compared with all rows.
            step = ops.expand_dims(step, -1)
        # Operators instead of `ops.subtract` and the like, which cast int64 to int32 on PyTorch.
        begin, until, anchor = (ops.convert_to_tensor(x, x.dtype) for x in (self.begin, self.until, self.anchor))
        inside = (step >= begin) & (step <= until)
        distance = ops.cast(step - anchor, "float32")
        if self.residue.any():
            distance = ops.subtract(distance, self.residue)
        value = ops.add(self._shaped(ops.multiply(distance, self.rate), ops), self.base)
        value = ops.minimum(value, self.high)
        # Linear and cosine rows start from their lower bound and cannot fall below it.
        if any(shape != "cosine" for shape, _ in self.masks):
            value = ops.maximum(value, self.low)
        # Exactly one row applies to each step, so the sum is the value of that row.
        return ops.sum(ops.where(inside, value, 0.0), axis=-1)

    def _shaped(self, u: keras.KerasTensor, ops: ModuleType) -> keras.KerasTensor:
        # The rate of a linear row includes its height. This saves two operations for the usual curve of straight lines.
        if not self.masks:
            return u
        shaped = u
        for shape, mask in self.masks:
            curved = _SHAPES[shape](u, ops)
            shaped = curved if mask.all() else ops.where(mask, curved, shaped)
        return ops.multiply(shaped, self.height)


# Cached, because a schedule asks for its table whenever it is called with a tensor.
@lru_cache(maxsize=64)
def curve_table(curve: Curve, dtype: str) -> CurveTable:
    """Return the table of a curve for steps of an integer dtype, "int32" or "int64"."""
    limit = int(np.iinfo(dtype).max)
    # Phases between two steps, or beyond the largest integer, apply to no step.
    rows = [row for row in _rows(curve, limit) if row.begin <= row.until]
    used = [shape for shape in _SHAPES if any(row.shape == shape for row in rows)]
    # A constant row may be evaluated with any shape. If only one other shape occurs, this saves a selection.
    alone = used[0] if len(used) == 1 and all(row.shape in (used[0], "constant") for row in rows) else None
    masks = tuple((shape, np.array([alone is not None or row.shape == shape for row in rows])) for shape in used)
    rows = [_constant(row, exponential=alone == "exponential") if row.shape == "constant" else row for row in rows]
    integers = {name: np.array([getattr(row, name) for row in rows], dtype) for name in ("begin", "until", "anchor")}
    floats = {
        name: np.array([getattr(row, name) for row in rows], "float32")
        for name in ("residue", "rate", "base", "height", "low", "high")
    }
    return CurveTable(**integers, **floats, masks=masks)


class _Row(NamedTuple):
    """One row of a `CurveTable`, with its shape."""

    shape: str
    begin: int
    until: int
    low: float
    high: float
    anchor: int = 0
    residue: float = 0.0
    rate: float = 0.0
    base: float = 0.0
    height: float = 0.0


def _rows(curve: Curve, limit: int) -> list[_Row]:
    first, zero = curve.value_at(curve.start_step), curve.start_step
    # The start itself belongs to the constant row before the phases, so that its value is exact.
    rows = [_Row("constant", -limit, min(zero, limit), first, first)]
    for phase in curve.phases:
        begin = max(zero + max(math.ceil(phase.start), 1), -limit)
        until = min(zero + min(math.ceil(phase.stop), curve.end) - 1, limit)
        rows.append(_phase_row(phase, zero, begin, until, limit))
    end = max(zero + curve.end, zero + 1)
    return [*rows, _Row("constant", end, limit, curve.final_value, curve.final_value)]


def _phase_row(phase: Phase, zero: int, begin: int, until: int, limit: int) -> _Row:
    low, high = sorted((phase.first, phase.last))
    if low == high:
        return _Row("constant", begin, until, low, high)
    length, rises = phase.stop - phase.start, phase.last > phase.first
    # Anchored at its low end, a phase is `low` plus something positive, so small values keep their precision.
    at_start = {"linear": rises, "cosine": rises, "1-sqrt": True, "exponential": not rises}[phase.shape]
    place = phase.start if at_start else phase.stop
    whole = round(place)
    # An anchor beyond the largest integer is cut off, and the rest joins the fraction. No counter gets that far.
    anchor = min(zero + whole, limit)
    residue = (zero + whole - anchor) + (place - whole)
    rate, base, height = 1 / length, low, (high - low) * _OVERSHOOT
    if phase.shape == "linear":
        rate, height = height / length * (1 if rises else -1), 1.0
    elif phase.shape == "cosine":
        rate = math.pi / 2 / length
    elif phase.shape == "1-sqrt":
        base, height = phase.first, (phase.last - phase.first) * _OVERSHOOT
    elif phase.shape == "exponential":
        rate, base, height = math.log(high / low) / length * (1 if rises else -1), 0.0, high
    return _Row(phase.shape, begin, until, low, high, anchor, residue, rate, base, height)


def _constant(row: _Row, *, exponential: bool) -> _Row:
    # At rate 0 an exponential is 1, so the height is the value; the other shapes are 0, so the base is the value.
    return row._replace(height=row.high) if exponential else row._replace(base=row.high)


_SHAPES: dict[str, Callable[[Any, ModuleType], Any]] = {
    "cosine": sin_squared,
    "1-sqrt": lambda u, ops: ops.sqrt(ops.absolute(u)),  # u is negative only in rows that do not apply
    "exponential": lambda u, ops: ops.exp(u),
}
