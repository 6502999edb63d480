"""How many steps one call of a compiled program makes."""

from __future__ import annotations

# Ctrl-C takes effect between two calls.
MAX_CALL_SECONDS = 0.3
GROWTH = 8  # from one call to the next, at most


class Pace:
    """Divides work into calls that each take about `MAX_CALL_SECONDS`, or a single step if that takes longer.

    Attributes:
        steps: Number of steps for the next call.
    """

    def __init__(self) -> None:
        self.steps = 1

    def record(self, steps: int, seconds: float) -> None:
        """Set the steps of the next call by what a call of `steps` steps took."""
        fitting = MAX_CALL_SECONDS * steps / max(seconds, 1e-9)
        self.steps = max(1, int(min(fitting, GROWTH * self.steps)))
