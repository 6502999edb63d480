"""How many epochs a whole cycle saves: the shortest one that ends where another arm was at its best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from onecycle.results.comparison import Comparison

ALIKE = 0.01  # ours: ratios of whole epochs that differ by less differ in the finder's steps alone


@dataclass(frozen=True)
class Savings:
    """Epochs to a reference arm's best: its own, and those of the shortest whole cycle that ends there.

    An annealed run is only good at its end, so that a point half through a cycle says nothing: each length is a run
    of its own, and what counts is where it ends. The shortest of several lengths is sought seed by seed, after the
    runs: where they are noisy one of them gets there by luck, so that the savings are an optimistic estimate.

    Attributes:
        reference: name of the arm whose best is the target, seed by seed.
        seeds: the seeds.
        targets: the reference's best, by seed; NaN where it diverged, which sets no target and saves nothing.
        own: epochs it took the reference, by seed; NaN where it diverged.
        cycles: epochs of the shortest whole cycle that ends at the target, the finder's included; infinite where no
            length tried does; NaN where there is no target.
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

    @property
    def with_target(self) -> int:
        """Seeds at which the reference did not diverge."""
        return sum(map(math.isfinite, self.targets))

    def ratio(self) -> tuple[float, float, float]:
        """Geometric mean of reference epochs over cycle epochs, with its 95 % interval (Student's t); NaN if unknown.

        It is of the seeds that have a target. Where one was not reached the mean is not known, and none is given.
        Where all seeds are alike there is no interval: the lengths tried are few, and their agreement is no precision.
        """
        if self.reached < max(self.with_target, 1):
            return math.nan, math.nan, math.nan
        ratios = np.array(self.own) / np.array(self.cycles)
        logs = np.log(ratios[np.isfinite(self.targets)])
        if np.ptp(logs) < ALIKE:
            return float(np.exp(logs.mean())), math.nan, math.nan
        spread = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))
        middle, low, high = np.exp([logs.mean(), logs.mean() - spread, logs.mean() + spread]).tolist()
        return middle, low, high

    def facts(self) -> dict[str, Any]:
        """Returns the result as JSON can hold it."""
        numbers = [number if math.isfinite(number) else None for number in self.ratio()]
        return {
            "reference": self.reference,
            "seeds": len(self.seeds),
            "with_target": self.with_target,
            "reached": self.reached,
            "times_fewer": dict(zip(("mean", "low", "high"), numbers, strict=True)),
            "sentence": self.summary(),
        }

    def summary(self) -> str:
        """Returns the result in a sentence."""
        there = self.with_target
        lost = "" if there == len(self.seeds) else f"; it diverged with {len(self.seeds) - there} of {len(self.seeds)}"
        if not there:
            return f"{self.reference}: it diverged with every seed, so that there is no best to reach."
        own = np.nanmedian(self.own)
        found = sorted(epochs for epochs in self.cycles if not math.isnan(epochs))[there // 2]
        cycles = f"{found:.3g}" if math.isfinite(found) else "more than was tried"
        middle, low, high = self.ratio()
        words = "fewer"
        if middle < 1:
            middle, low, high, words = 1 / middle, 1 / high, 1 / low, "more"
        factor = "" if math.isnan(middle) else f": {middle:.2g} times {words}"
        interval = "" if math.isnan(low) else f" (95 % interval {low:.2g} to {high:.2g})"
        return (
            f"{self.reference}: its best took {own:.3g} epochs (median), the shortest whole cycle that ends there "
            f"{cycles}{factor}{interval}; reached with {self.reached} of {there} seeds{lost}."
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
        target = float(run["best"])
        targets.append(target)
        if not math.isfinite(target):
            own.append(math.nan)
            shortest.append(math.nan)
            continue
        own.append(float(run["history"][comparison.metric].index(target) + 1))
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
