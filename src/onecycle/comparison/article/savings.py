"""How many epochs a cycle saves: the shortest cycle that ends at the best value of another arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onecycle.comparison.statistics import t_interval
from onecycle.results.comparison import Comparison
from onecycle.results.metrics import reaches
from onecycle.results.runs import MeasuredRun

# Our choice: logarithms of two ratios of epochs that differ by less than this differ only in the steps of the finder.
EQUAL = 0.01


@dataclass(frozen=True)
class EpochSavings:
    """The epochs that an arm took to its best value, and those of the shortest cycle that ends there.

    The metric of a cycle counts only at its end, when the rate is annealed, so each length is a separate run. The
    shortest length is searched for after the runs, seed by seed. With noisy runs, one of several lengths reaches the
    target by chance, so the savings are an optimistic estimate.

    Attributes:
        reference: Name of the arm whose best value is the target of each seed.
        seeds: The seeds.
        targets: Best value of the reference, by seed. NaN where it diverged: then there is no target and no saving.
        reference_epochs: Epochs that the reference took to its best value, by seed. NaN where it diverged.
        cycle_epochs: Epochs of the shortest cycle that ends at the target, including those of the finder. Infinite
            where no cycle does, NaN where there is no target.
    """

    reference: str
    seeds: tuple[int, ...]
    targets: tuple[float, ...]
    reference_epochs: tuple[float, ...]
    cycle_epochs: tuple[float, ...]

    @property
    def reached(self) -> int:
        """Number of seeds with which some cycle ended at the target."""
        return sum(map(math.isfinite, self.cycle_epochs))

    @property
    def with_target(self) -> int:
        """Number of seeds with which the reference did not diverge."""
        return sum(map(math.isfinite, self.targets))

    def ratio(self) -> tuple[float, float, float]:
        """Return the geometric mean of reference epochs over cycle epochs, and the ends of its 95 % interval.

        The interval is Student's, of the logarithms, over the seeds that have a target. Mean and interval are NaN if
        some target was not reached by any cycle. The interval is NaN if the ratio is the same for all seeds: only a few
        lengths were tried, so their agreement is no sign of precision.
        """
        if self.reached < max(self.with_target, 1):
            return math.nan, math.nan, math.nan
        ratios = np.array(self.reference_epochs) / np.array(self.cycle_epochs)
        logs = np.log(ratios[np.isfinite(self.targets)])
        if np.ptp(logs) < EQUAL:
            return float(np.exp(logs.mean())), math.nan, math.nan
        mean, low, high = np.exp(t_interval(logs)).tolist()
        return mean, low, high

    def facts(self) -> dict[str, object]:
        """Return the savings as a dict that JSON can hold."""
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
        """Return the savings in words."""
        if not self.with_target:
            return f"{self.reference} diverged with every seed, so there is no best value to reach."
        # The median over the seeds that have a target, of which some may be infinite.
        cycles = sorted(epochs for epochs in self.cycle_epochs if not math.isnan(epochs))[self.with_target // 2]
        length = f"{cycles:.3g} epochs" if math.isfinite(cycles) else "more epochs than were tried"
        lost = len(self.seeds) - self.with_target
        diverged = f" {self.reference} diverged with {lost} of {len(self.seeds)} seeds." if lost else ""
        return (
            f"{self.reference} reached its best value after {np.nanmedian(self.reference_epochs):.3g} epochs (median). "
            f"The shortest cycle that ends at that value takes {length} (median){self._factor()}. A cycle reached it "
            f"with {self.reached} of {self.with_target} seeds.{diverged}"
        )

    def _factor(self) -> str:
        mean, low, high = self.ratio()
        direction = "fewer"
        if mean < 1:
            mean, low, high, direction = 1 / mean, 1 / high, 1 / low, "more"
        if math.isnan(mean):
            return ""
        interval = "" if math.isnan(low) else f" (95 % interval {low:.2g} to {high:.2g})"
        return f", {mean:.2g} times {direction}{interval}"


def epoch_savings(comparison: Comparison, reference: str, cycles: Sequence[str]) -> EpochSavings:
    """Return the epochs that cycles of several lengths save compared with one arm.

    Args:
        comparison: The comparison with all these arms.
        reference: Name of the arm whose best value is the target.
        cycles: Names of the arms that are complete cycles.
    """
    rows = [_seed_savings(comparison, reference, cycles, seed) for seed in comparison.seeds]
    targets, reference_epochs, cycle_epochs = zip(*rows, strict=True)
    return EpochSavings(reference, comparison.seeds, targets, reference_epochs, cycle_epochs)


def _seed_savings(
    comparison: Comparison, reference: str, cycles: Sequence[str], seed: int
) -> tuple[float, float, float]:
    """Return the target of a seed, the epochs of the reference and those of the shortest cycle that ends there."""
    (run,) = (run for run in comparison.of(reference) if run["seed"] == seed)
    target = float(run["best"])
    if not math.isfinite(target):
        return target, math.nan, math.nan
    # The first epoch with the best value, counted from 1.
    reference_epochs = float(run["history"][comparison.metric].index(target) + 1)
    whole_cycles = [run for name in cycles for run in comparison.of(name) if run["seed"] == seed]
    ended = [_epochs(run) for run in whole_cycles if reaches(run["final"], target, comparison.mode)]
    return target, reference_epochs, min(ended, default=math.inf)


def _epochs(run: MeasuredRun) -> float:
    """Return the epochs of a complete run, including the steps of the finder."""
    finder_steps = run["finder"].get("steps", 0)
    return float(len(run["steps"]) + finder_steps / run["steps"][0])
