"""The schedules and momenta that are compared; see README.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from keras.optimizers.schedules import LearningRateSchedule

import onecycle

Schedule = Callable[[float, int], LearningRateSchedule]

SCHEDULES: Mapping[str, Schedule] = {
    "article": onecycle.OneCycle,
    "linear 5": partial(onecycle.WarmupLinearDecay, warmup_fraction=0.05),
    "linear 10": partial(onecycle.WarmupLinearDecay, warmup_fraction=0.1),
    "linear 25": partial(onecycle.WarmupLinearDecay, warmup_fraction=0.25),
    "cosine": onecycle.OneCycle.pytorch,
    "stable": partial(onecycle.WarmupStableDecay, warmup_fraction=0.1, decay_fraction=0.2),
}
HIGH, LOW = 0.95, 0.85  # momentum at the lowest rate and at the peak


@dataclass(frozen=True)
class Recipe:
    """A schedule with or without cycled momentum.

    Attributes:
        schedule: A key of `SCHEDULES`.
        cycled: Whether the momentum is cycled; otherwise it is the optimizer's own.
    """

    schedule: str
    cycled: bool

    @property
    def name(self) -> str:
        """The name in records and tables."""
        return f"{self.schedule}, {'cycled' if self.cycled else 'constant'}"

    def rate(self, peak: float, steps: int) -> LearningRateSchedule:
        """Return the schedule of the learning rate."""
        return SCHEDULES[self.schedule](peak, steps)

    def momentum(self, peak: float, steps: int) -> np.ndarray | None:
        """Return the momentum of each step, None for the optimizer's own."""
        if not self.cycled:
            return None
        rates = np.array(self.rate(peak, steps).values())
        lowest = rates[0] if self.schedule == "article" else 0.0
        share = np.clip((rates - lowest) / (peak - lowest), 0, 1)
        return HIGH - (HIGH - LOW) * share


RECIPES = tuple(Recipe(schedule, cycled) for schedule in SCHEDULES for cycled in (True, False))
BASELINE = RECIPES[0]
