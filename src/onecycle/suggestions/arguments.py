"""Checks of arguments, shared by public functions and schedules. Most of them return the checked value."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Sequence

import numpy as np


def check_integer(name: str, value: object, *, minimum: int = 1) -> int:
    """Return an integer argument as a plain int.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check. NumPy integers are accepted, booleans are not.
        minimum: Smallest value allowed.

    Raises:
        ValueError: If `value` is not an integer or is smaller than `minimum`.
    """
    # Python counts booleans as integers, but `epochs=True` is a mistake.
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise ValueError(f"Argument `{name}` must be an integer. Received: {name}={value!r}")
    checked = operator.index(value)
    if checked < minimum:
        raise ValueError(f"Argument `{name}` must be >= {minimum}. Received: {name}={value}")
    return checked


def check_seed(seed: int | None) -> int | None:
    """Return a seed that is an integer >= 0, or None.

    Raises:
        ValueError: For another value.
    """
    return None if seed is None else check_integer("seed", seed, minimum=0)


def check_number(
    name: str,
    value: object,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float = math.inf,
    remedy: str = "",
) -> float:
    """Return a real argument as a plain, finite float.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check. Any real number is accepted, booleans are not.
        minimum: Smallest value allowed, or None.
        above: Bound that the value must exceed, or None. Takes the place of `minimum`.
        maximum: Largest value allowed.
        remedy: A sentence without its full stop that ends the error message of a value out of range.

    Raises:
        ValueError: If `value` is not a finite number or is out of range.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"Argument `{name}` must be a finite number. Received: {name}={value!r}")
    checked = float(value)
    too_low = checked <= above if above is not None else minimum is not None and checked < minimum
    if too_low or checked > maximum:
        message = f"Argument `{name}` must be {_range(minimum, above, maximum)}. Received: {name}={checked:g}"
        raise ValueError(f"{message}. {remedy}." if remedy else message)
    return checked


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return an argument that must be one of a few strings.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check.
        choices: The values allowed.

    Raises:
        ValueError: If `value` is none of the choices.
    """
    if value not in choices:
        raise ValueError(f"Argument `{name}` must be one of {tuple(choices)}. Received: {name}={value!r}")
    return str(value)


def check_fractions(**fractions: float | None) -> None:
    """Check that fractions of a cycle sum to at most 1.

    Args:
        **fractions: Name of each argument -> its value. None counts as 0.

    Raises:
        ValueError: If the sum exceeds 1.
    """
    given = {name: value for name, value in fractions.items() if value is not None}
    # The tolerance allows for rounding of decimal fractions, such as 0.1 + 0.2.
    if sum(given.values()) > 1 + 1e-9:
        names = " + ".join(f"`{name}`" for name in given)
        received = ", ".join(f"{name}={value:g}" for name, value in given.items())
        raise ValueError(f"Arguments {names} must sum to at most 1. Received: {received}. Make one of them smaller.")


def _range(minimum: float | None, above: float | None, maximum: float) -> str:
    """Return the range of a number in symbols, for example ">= 0 and <= 1"."""
    lower = f"> {above:g}" if above is not None else f">= {minimum:g}" if minimum is not None else ""
    upper = f"<= {maximum:g}" if maximum < math.inf else ""
    return " and ".join(bound for bound in (lower, upper) if bound)
