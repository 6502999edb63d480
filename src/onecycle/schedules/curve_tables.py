"""Curves as small constant tables, evaluated with few operations inside a compiled training step.

TensorFlow pays for every operation of every step, so all phases are evaluated at once as one short vector and the one
that counts is picked out by an integer comparison. Pure: the array namespace comes in as an argument.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onecycle.schedules.curves import Curve, Phase, sin_squared

# The far end of a phase is aimed this much too far and then clipped, so that rounding cannot keep it from being exact.
_OVERSHOOT = 1.0 + 3 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class CurveTable:
    """A curve with one row per phase and a constant row before and after, for float32.

    In each row `u = rate * (step - anchor - residue)` and `value = base + height * shape(u)`; the row that counts is
    the one with `begin <= step <= until`. The anchor is the end of the phase at which nothing cancels, and is
    subtracted while steps are integers; `residue` is what is left of it where it is not whole.
    """

    begin: NDArray[Any]
    until: NDArray[Any]
    anchor: NDArray[Any]
    residue: NDArray[np.float32]
    rate: NDArray[np.float32]
    base: NDArray[np.float32]
    height: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    masks: tuple[tuple[str, NDArray[np.bool_]], ...]

    def evaluate(self, step: Any, ops: Any) -> Any:
        """Returns the curve at integer steps, a tensor of any shape, in `ops = keras.ops`."""
        if len(step.shape):
            step = ops.expand_dims(step, -1)
        # Operators, not `ops.subtract` and its like: on PyTorch those make int32 of int64.
        begin, until, anchor = (ops.convert_to_tensor(x, x.dtype) for x in (self.begin, self.until, self.anchor))
        inside = (step >= begin) & (step <= until)
        along = ops.cast(step - anchor, "float32")
        if self.residue.any():
            along = ops.subtract(along, self.residue)
        value = ops.add(self._shaped(ops.multiply(along, self.rate), ops), self.base)
        value = ops.minimum(value, self.high)
        if any(shape != "cosine" for shape, _ in self.masks):
            value = ops.maximum(value, self.low)
        return ops.sum(ops.where(inside, value, 0.0), axis=-1)

    def _shaped(self, u: Any, ops: Any) -> Any:
        # A linear row has its height in its rate: a curve of straight lines, the usual one, is two operations shorter.
        if not self.masks:
            return u
        shaped = u
        for shape, mask in self.masks:
            curved = _SHAPES[shape](u, ops)
            shaped = curved if mask.all() else ops.where(mask, curved, shaped)
        return ops.multiply(shaped, self.height)


@lru_cache(maxsize=64)
def curve_table(curve: Curve, dtype: str) -> CurveTable:
    """Returns the table for steps of an integer dtype, "int32" or "int64"."""
    limit = int(np.iinfo(dtype).max)
    rows = [row for row in _rows(curve, limit) if row.begin <= row.until]
    used = [shape for shape in _SHAPES if any(row.shape == shape for row in rows)]
    # A constant row may take part in any shape, and does where that saves picking between two.
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
    rows = [_Row("constant", -limit, min(zero, limit), first, first)]
    for phase in curve.phases:
        begin = max(zero + max(math.ceil(phase.start), 1), -limit)
        until = min(zero + min(math.ceil(phase.stop), curve.end) - 1, limit)
        rows.append(_phase_row(phase, zero, begin, until, limit))
    end = max(zero + curve.end, zero + 1)
    return [*rows, _Row("constant", end, limit, curve.held, curve.held)]


def _phase_row(phase: Phase, zero: int, begin: int, until: int, limit: int) -> _Row:
    low, high = sorted((phase.first, phase.last))
    if low == high:
        return _Row("constant", begin, until, low, high)
    length, rises = phase.stop - phase.start, phase.last > phase.first
    at_start = {"linear": rises, "cosine": rises, "1-sqrt": True, "exponential": not rises}[phase.shape]
    place = phase.start if at_start else phase.stop
    whole = round(place)
    # An int32 counter never gets as far as an anchor beyond it, so there the rest may go with the fraction.
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
    return row._replace(height=row.high) if exponential else row._replace(base=row.high)


_SHAPES: dict[str, Any] = {
    "cosine": sin_squared,
    "1-sqrt": lambda u, ops: ops.sqrt(ops.absolute(u)),  # below zero only in rows that do not count
    "exponential": lambda u, ops: ops.exp(u),
}
