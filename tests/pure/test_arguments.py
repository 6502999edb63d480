"""The checks of arguments: what they return, and the messages of their errors."""

import re

import numpy as np
import pytest

from onecycle.suggestions.arguments import check_choice, check_fractions, check_integer, check_number


@pytest.mark.parametrize(("value", "checked"), [(3, 3), (np.int64(7), 7), (0, 0)])
def test_integers_are_returned_as_plain_ints(value, checked):
    """NumPy integers become plain ints."""
    result = check_integer("epochs", value, minimum=0)
    assert result == checked
    assert type(result) is int


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2.0, "Argument `epochs` must be an integer. Received: epochs=2.0"),
        (True, "Argument `epochs` must be an integer. Received: epochs=True"),
        ("3", "Argument `epochs` must be an integer. Received: epochs='3'"),
        (0, "Argument `epochs` must be >= 1. Received: epochs=0"),
    ],
)
def test_other_values_are_no_integers(value, message):
    """Floats, booleans, strings and integers below the minimum are errors."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_integer("epochs", value)


@pytest.mark.parametrize("value", [np.float32(0.5), 0.5, 1, np.int32(1)])
def test_numbers_are_returned_as_plain_floats(value):
    """NumPy numbers become plain floats."""
    result = check_number("rate", value, above=0, maximum=1)
    assert result == float(value)
    assert type(result) is float


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (float("nan"), {}, "Argument `rate` must be a finite number. Received: rate=nan"),
        (True, {}, "Argument `rate` must be a finite number. Received: rate=True"),
        (0.0, {"above": 0}, "Argument `rate` must be > 0. Received: rate=0"),
        (-1, {"minimum": 0, "maximum": 1}, "Argument `rate` must be >= 0 and <= 1. Received: rate=-1"),
        (2, {"maximum": 1}, "Argument `rate` must be <= 1. Received: rate=2"),
        (2, {"maximum": 1, "remedy": "Try 1"}, "Argument `rate` must be <= 1. Received: rate=2. Try 1."),
    ],
)
def test_other_values_are_no_numbers(value, bounds, message):
    """Values that are not finite or out of range are errors that name the range."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_number("rate", value, **bounds)


def test_choice_is_one_of_the_strings():
    """Another value is an error that lists the choices."""
    assert check_choice("shape", "linear", ("linear", "cosine")) == "linear"
    with pytest.raises(ValueError, match=r"`shape` must be one of \('linear', 'cosine'\). Received: shape='square'"):
        check_choice("shape", "square", ("linear", "cosine"))


def test_fractions_sum_to_at_most_one():
    """The error names the arguments that were given; rounding of decimal fractions is tolerated."""
    check_fractions(warmup=0.1, hold=0.2, decay=0.7)
    check_fractions(warmup=None, decay=1.0)
    with pytest.raises(ValueError, match=r"`warmup` \+ `decay` must sum to at most 1. Received: warmup=0.5, decay=0.6"):
        check_fractions(warmup=0.5, hold=None, decay=0.6)
