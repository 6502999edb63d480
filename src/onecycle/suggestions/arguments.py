"""Checks of arguments, shared by public functions and schedules. Most of them return the checked value."""

from __future__ import annotations

import math
import numbers
import operator
import os
import reprlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_INTEGER = 2**63 - 1  # of the step counters, and of NumPy
MAX_SEED = 2**32 - 1  # the largest that NumPy takes, and so `keras.utils.set_random_seed`
# Learning rates become float32 in the training step: outside these limits they would be 0 or infinite there.
MIN_LEARNING_RATE, MAX_LEARNING_RATE = float(np.finfo("float32").tiny), float(np.finfo("float32").max)
VERBOSE = (0, 1, 2, "auto")  # those of `Model.fit`


def check_integer(name: str, value: object, *, minimum: int = 1, maximum: int = MAX_INTEGER) -> int:
    """Return an integer argument as a plain int.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check. NumPy integers are accepted, booleans are not.
        minimum: Smallest value allowed.
        maximum: Largest value allowed. By default that of 64 bits.

    Raises:
        ValueError: If `value` is not an integer or is out of range.
    """
    # Python counts booleans as integers, but `epochs=True` is a mistake.
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise ValueError(f"Argument `{name}` must be an integer. Received: {name}={described(value)}")
    checked = operator.index(value)
    if checked < minimum:
        raise ValueError(f"Argument `{name}` must be >= {minimum}. Received: {name}={value}")
    if checked > maximum:
        raise ValueError(f"Argument `{name}` must be <= {maximum}. Received: {name}={value}")
    return checked


def check_seed(seed: int | None) -> int | None:
    """Return a seed that is an integer from 0 to `MAX_SEED`, or None.

    Raises:
        ValueError: For another value.
    """
    if seed is None:
        return None
    return check_integer("seed", seed, minimum=0, maximum=MAX_SEED)


def check_verbose(verbose: object) -> None:
    """Check an argument `verbose`, which has the values of `Model.fit`; True and False count as 1 and 0.

    Raises:
        ValueError: For another value.
    """
    if not isinstance(verbose, (str, numbers.Integral)) or verbose not in VERBOSE:
        raise ValueError(f"Argument `verbose` must be one of {VERBOSE}. Received: verbose={described(verbose)}")


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
        value: The value to check. Any real number is accepted, and so is an array or tensor without dimensions;
            booleans are not.
        minimum: Smallest value allowed, or None.
        above: Bound that the value must exceed, or None. Takes the place of `minimum`.
        maximum: Largest value allowed.
        remedy: A sentence without its full stop that ends the error message of a value out of range.

    Raises:
        ValueError: If `value` is not a finite number or is out of range.
    """
    number = as_number(value)
    if number is None or not math.isfinite(number):
        raise ValueError(f"Argument `{name}` must be a finite number. Received: {name}={described(value)}")
    checked = float(number)
    too_low = checked <= above if above is not None else minimum is not None and checked < minimum
    if too_low or checked > maximum:
        message = f"Argument `{name}` must be {_range(minimum, above, maximum)}. Received: {name}={checked:g}"
        raise ValueError(f"{message}. {remedy}." if remedy else message)
    return checked


def check_learning_rate(name: str, value: object) -> float:
    """Return a learning rate above 0 as a plain float. It must be one that float32 can hold.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check, as in `check_number`.

    Raises:
        ValueError: If `value` is not a number or is out of range.
    """
    checked = check_number(name, value, above=0)
    if not MIN_LEARNING_RATE <= checked <= MAX_LEARNING_RATE:
        raise ValueError(
            f"Argument `{name}` must be between {MIN_LEARNING_RATE:.2g} and {MAX_LEARNING_RATE:.2g}, the limits of "
            f"float32. Received: {name}={checked:g}"
        )
    return checked


def check_path(name: str, value: object) -> Path:
    """Return the path of a file or folder.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check, a string or a path object.

    Raises:
        TypeError: If `value` is neither.
        ValueError: If it is empty.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise TypeError(f"Argument `{name}` must be a path. Received: {name}={described(value)}")
    if not os.fspath(value):
        raise ValueError(f"Argument `{name}` must be a path. Received: {name}=''")
    return Path(value)


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return an argument that must be one of a few strings.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check.
        choices: The values allowed.

    Raises:
        ValueError: If `value` is none of the choices.
    """
    # Not only `in`, which compares an array element by element.
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"Argument `{name}` must be one of {tuple(choices)}. Received: {name}={described(value)}")
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


def as_number(value: object) -> float | None:
    """Return the number that a scalar, or an array or tensor without dimensions, holds; None for anything else."""
    if isinstance(value, numbers.Real):
        return None if isinstance(value, (bool, np.bool_)) else _as_float(value)
    # Types of every array library, none of which is imported here; a symbolic tensor has no value.
    has_no_dimensions = not isinstance(value, type) and getattr(value, "shape", None) == ()
    return _as_float(value) if has_no_dimensions and "bool" not in str(getattr(value, "dtype", "bool")) else None


def check_numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return an argument that holds real numbers as a float64 array.

    Args:
        name: Name of the argument, for the error message.
        values: Numbers, in an array or nested lists. NaN and infinities are allowed.

    Raises:
        ValueError: For strings, complex numbers or lists of different lengths.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in "biufO":
            return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"Argument `{name}` must be an array of numbers. Received: {name}={described(values)}")


def described(value: object) -> str:
    """Return a value as text for an error message: shortened, on one line, and an array by its shape."""
    shape = getattr(value, "shape", None)
    if not isinstance(value, type) and isinstance(shape, Sequence) and len(shape):
        return f"<{type(value).__name__} of shape {tuple(shape)}>"
    return " ".join(_SHORTENED.repr(value).split())


_SHORTENED = reprlib.Repr()
_SHORTENED.maxstring = _SHORTENED.maxother = 120


def _as_float(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]  # tried
    except (TypeError, ValueError, OverflowError, RuntimeError):  # of any library
        return None


def _range(minimum: float | None, above: float | None, maximum: float) -> str:
    """Return the range of a number in symbols, for example ">= 0 and <= 1"."""
    lower = f"> {above:g}" if above is not None else f">= {minimum:g}" if minimum is not None else ""
    upper = f"<= {maximum:g}" if maximum < math.inf else ""
    return " and ".join(bound for bound in (lower, upper) if bound)
