"""The rising learning rates of a range test, and the checks of its arguments."""

from __future__ import annotations

import numpy as np

from onecycle.suggestions.arguments import check_choice, check_integer, check_learning_rate
from onecycle.suggestions.rules import apply_rule, find_rule
from onecycle.suggestions.smoothing import Array
from onecycle.suggestions.suggestion import Rule

MIN_STEPS = 10  # fewer losses are not enough for any rule


def ramp_rates(min_learning_rate: float, max_learning_rate: float, num_steps: int, spacing: str) -> Array:
    """Return the learning rates of a range test.

    Args:
        min_learning_rate: The first rate, above 0.
        max_learning_rate: The last rate, above the first.
        num_steps: Number of rates.
        spacing: "exponential" for equal ratios, "linear" for equal differences.

    Returns:
        (num_steps,) the rates, with both ends exact.
    """
    space = np.linspace if spacing == "linear" else np.geomspace
    return np.asarray(space(min_learning_rate, max_learning_rate, num_steps), dtype=np.float64)


def check_ramp(
    min_learning_rate: float, max_learning_rate: float, num_steps: int, spacing: str, rule: str | Rule
) -> None:
    """Check the arguments of a range test.

    Args:
        min_learning_rate: The first rate, above 0.
        max_learning_rate: The last rate, above the first.
        num_steps: Number of updates, at least 10.
        spacing: "exponential" or "linear".
        rule: Name of a rule, or a function, which is tried on an example.

    Raises:
        RuntimeError, TypeError, ValueError: For the first argument that is invalid.
    """
    check_learning_rate("min_learning_rate", min_learning_rate)
    check_learning_rate("max_learning_rate", max_learning_rate)
    if max_learning_rate <= min_learning_rate:
        raise ValueError(
            "Argument `max_learning_rate` must be above `min_learning_rate`. "
            f"Received: min_learning_rate={min_learning_rate}, max_learning_rate={max_learning_rate}"
        )
    check_integer("num_steps", num_steps, minimum=MIN_STEPS)
    check_choice("spacing", spacing, ("exponential", "linear"))
    if callable(rule):
        rates = ramp_rates(min_learning_rate, max_learning_rate, num_steps, spacing)
        apply_rule(rule, rates, _example_losses(num_steps))
    else:
        find_rule(rule)


def _example_losses(num_steps: int) -> Array:
    """Return losses as they often are, to try a rule before the test: a fall and a rise."""
    part = np.linspace(0.0, 1.0, num_steps)
    wave = 0.01 * np.sin(7.0 * np.arange(num_steps))
    return np.asarray(2.0 - part + wave + 100.0 * np.maximum(part - 0.8, 0.0))
