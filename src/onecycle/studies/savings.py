"""How many epochs a whole cycle saves: the shortest one that ends where another arm was at its best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from onecycle._comparison import Comparison
from onecycle.studies.measures import best_of


@dataclass(frozen=True)
class Savings:
    """Epochs to a reference arm's best: its own, and those of the shortest whole cycle that ends there.

    An annealed run is only good at its end, so that a point half through a cycle says nothing: each length is a run
    of its own, and what counts is where it ends.

    Attributes:
        reference: name of the arm whose best is the target, seed by seed.
        seeds: the seeds.
        targets: the reference's best, by seed.
        own: epochs it took the reference, by seed.
        cycles: epochs of the shortest whole cycle that ends at the target, the finder's included; infinite where no
            length tried does.
    """

    reference: str
    seeds: tuple[int, ...]
    targets: tuple[float, ...]
    own: tuple[float, ...]
    cycles: tuple[float, ...]

    @property
    def reached(self) -> int:
        """Seeds at which some cycle ended at the target."""
        return sum(map(math.isfinite, self.cycles))

    def ratio(self) -> tuple[float, float, float]:
        """Geometric mean of reference epochs over cycle epochs, with its 95 % interval (Student's t); NaN if unknown.

        Where a seed's target was not reached the mean is not known, and none is given.
        """
        if self.reached < len(self.seeds):
            return math.nan, math.nan, math.nan
        logs = np.log(np.array(self.own) / np.array(self.cycles))
        if len(logs) < 2:
            return float(np.exp(logs.mean())), math.nan, math.nan
        spread = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))
        middle, low, high = np.exp([logs.mean(), logs.mean() - spread, logs.mean() + spread]).tolist()
        return middle, low, high

    def summary(self) -> str:
        """Returns the result in a sentence."""
        own, found = np.median(self.own), sorted(self.cycles)[len(self.cycles) // 2]
        cycles = f"{found:.3g}" if math.isfinite(found) else "more than was tried"
        middle, low, high = self.ratio()
        factor = "" if math.isnan(middle) else f": {middle:.2g} times fewer"
        interval = "" if math.isnan(low) else f" (95 % interval {low:.2g} to {high:.2g})"
        return (
            f"{self.reference}: its best took {own:.3g} epochs (median), the shortest whole cycle that ends there "
            f"{cycles}{factor}{interval}; reached with {self.reached} of {len(self.seeds)} seeds."
        )


def savings(comparison: Comparison, reference: str, cycles: tuple[str, ...]) -> Savings:
    """The savings of cycles of several lengths against one arm.

    Args:
        comparison: Its runs.
        reference: Name of the arm to be matched.
        cycles: Names of the arms that are whole cycles.
    """
    targets, own, shortest = [], [], []
    for seed in comparison.seeds:
        (run,) = (run for run in comparison.of(reference) if run["seed"] == seed)
        values = run["history"][comparison.metric]
        target = best_of(values, comparison.mode)
        targets.append(target)
        own.append(float(values.index(target) + 1))
        whole = [run for name in cycles for run in comparison.of(name) if run["seed"] == seed]
        ended = [_epochs(run) for run in whole if _ends_at(run, target, comparison.mode)]
        shortest.append(min(ended, default=math.inf))
    return Savings(reference, comparison.seeds, tuple(targets), tuple(own), tuple(shortest))


def _ends_at(run: Mapping[str, Any], target: float, mode: str) -> bool:
    final = float(run["final"])
    return final >= target if mode == "max" else final <= target


def _epochs(run: Mapping[str, Any]) -> float:
    """Epochs of a whole run, the finder's steps included."""
    per_epoch = run["steps"][0]
    return float(len(run["steps"]) + run["finder"].get("steps", 0) / per_epoch)
