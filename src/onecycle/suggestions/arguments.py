"""What every schedule has in common: a Keras schedule that is a plain value, evaluated on the host or in the graph."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np


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
    checked = float(value)
    bound = f"> {above:g}" if above is not None else f">= {least:g}" if least is not None else ""
    bound += (" and " if bound else "") + f"<= {most:g}" if most < math.inf else ""
    low = checked <= above if above is not None else least is not None and checked < least
    if low or checked > most:
        told = f"Argument `{name}` must be {bound}. Received: {name}={checked:g}"
        raise ValueError(f"{told}. {remedy}." if remedy else told)
    return checked


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
