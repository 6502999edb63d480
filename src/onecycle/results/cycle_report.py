"""One cycle inside one call of `fit`: how long it is, where it begins, putting it in and taking it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CycleReport:
    """What a cycle did; `fit`'s `History` carries it as `history.onecycle`.

    Attributes:
        schedule: The learning rate, as the call that makes it.
        momentum: The momentum pair (high, low), or None where it was left alone.
        start_step: The optimizer's step counter at the first step of the cycle.
        total_steps: Length of the cycle in steps.
        steps: Steps the counter has made since `start_step`.
        skipped_steps: Batches whose update loss scaling skipped, by which the cycle lags; None where they could not be
            counted.
        max_learning_rate: The peak, or None where the schedule was given.
        range_test: The `RangeTest` that picked the peak, or None.
        sweep: The `Sweep` that picked it, or None.
    """

    schedule: str
    momentum: tuple[float, float] | None
    start_step: int
    total_steps: int | None
    steps: int
    skipped_steps: int | None
    max_learning_rate: float | None = None
    range_test: Any = None
    sweep: Any = None

    @property
    def reason(self) -> str | None:
        """What picked the peak, why that one, and at what cost; None where it was given."""
        if self.sweep is not None:
            return f"Picked by a sweep that cost {self.sweep.cost:.2g} of a run. {self.sweep.pick.reason}"
        if self.range_test is not None:
            steps = len(self.range_test.learning_rates)
            return f"Picked by a range test of {steps} steps. {self.range_test.suggestion.reason}"
        return None

    def summary(self) -> str:
        """The report as a few sentences."""
        momentum = "" if self.momentum is None else f", momentum {self.momentum[0]:g} to {self.momentum[1]:g} and back"
        skipped = f", {self.skipped_steps} skipped by loss scaling" if self.skipped_steps else ""
        told = f"{self.schedule}{momentum}; {self.steps} steps of a cycle of {self.total_steps}{skipped}."
        return told if self.reason is None else f"{told} {self.reason}"
