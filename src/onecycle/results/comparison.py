"""The result of a comparison: its runs, and the verdict on each arm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.results.runs import TIMES, MeasuredRun, finder_epochs, time_or_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@codec.storable
@dataclass(frozen=True)
class Verdict:
    """The verdict on one arm against the baseline in one measure.

    Attributes:
        measure: "final" or "best" (of the metric), "loss", or a time to the target: "steps", "epochs", "samples" or
            "seconds".
        kind: "better", "worse", "no practical difference", "cannot tell" or "not measured".
        effect: Mean paired difference, arm minus baseline. For a time, the geometric mean of the ratios, arm over
            baseline. Seeds with a diverged run are left out of the mean but not of the test. NaN if no seed is left.
        low: Lower end of the 95 % interval of the effect, on which the kind of verdict rests. With several arms the
            intervals of a measure are wider, so that all of them hold together with 95 %. NaN with fewer than 3 seeds,
            if any run diverged, and for times if any is censored.
        high: Upper end of the interval.
        p: Two-sided p-value of Student's test, adjusted for the number of arms (Bonferroni), at most 0.05 where the
            interval excludes no difference. Without an interval, that of the sign-flip test, of signed ranks if any run
            diverged.
        probability: Fraction of the seeds with which the arm is better; ties count half.
        seeds: Number of pairs.
        margin: Difference (for times: ratio) that does not matter, or None. It does not apply where a run lacks a
            value.
        more_seeds: Estimated number of additional seeds that would decide, or None.
        sentence: The verdict in words.
        differences: Difference of each seed, for times the ratio, in the order of the comparison's seeds. Infinite
            (for times also 0) where one of the two runs diverged and the other did not.
        censored: For each seed, whether one of the two runs diverged or did not reach the target. Its difference is
            then closer to a tie than the true one, or infinite.
        interval_arms: Number of arms whose intervals hold together. 0 in comparisons saved by onecycle 0.1.0, whose
            intervals hold one by one.
    """

    measure: str
    kind: str
    effect: float
    low: float
    high: float
    p: float
    probability: float
    seeds: int
    margin: float | None
    more_seeds: int | None
    sentence: str
    differences: tuple[float, ...] = ()
    censored: tuple[bool, ...] = ()
    interval_arms: int = field(default=0, metadata=codec.OMITTED_IF_EMPTY)

    @property
    def interval_name(self) -> str:
        """The level of the interval in words."""
        if self.interval_arms < 2:
            return "95 % interval"
        arms = "both" if self.interval_arms == 2 else f"all {self.interval_arms}"
        return f"95 % interval for {arms} arms together"


@codec.storable
@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """A paired comparison of ways to train.

    Attributes:
        arms: Names of the arms, the baseline first.
        seeds: The seeds.
        runs: The runs, as dicts with the keys of `MeasuredRun`: the fields of `RunRecord`, `final`, `best` and `loss`
            (NaN where the run diverged), `reached` (whether it reached the target), and `steps_to_target`,
            `epochs_to_target`, `samples_to_target` and `seconds_to_target` (None if it did not; `censored_at` then
            holds the length of the run in all four units).
        verdicts: Arm -> measure -> `Verdict`, for all arms but the baseline.
        metric: Name of the metric compared.
        mode: "max" where a higher metric is better, "min" where a lower one is.
        target: Value of the metric that the times refer to.
        target_from: Where the target comes from, in words.
        margin: Difference of the metric that does not matter, given before the runs, or None.
        curves: Arm -> "mean", "low" and "high": the mean of the metric over seeds after each epoch and its 95 %
            interval. NaN if too few runs are left.
        config: Settings of the comparison.
        problems: A sentence for each problem with stored records.
        versions: Package name -> version, where the comparison was evaluated.
    """

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[MeasuredRun, ...]
    verdicts: Mapping[str, Mapping[str, Verdict]]
    metric: str
    mode: str
    target: float
    target_from: str
    margin: float | None = None
    curves: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def baseline(self) -> str:
        """Name of the arm that the others are compared with."""
        return self.arms[0]

    def of(self, arm: str) -> tuple[MeasuredRun, ...]:
        """Return the runs of one arm, ordered by seed."""
        return tuple(sorted((run for run in self.runs if run["arm"] == arm), key=lambda run: run["seed"]))

    def diverged(self, arm: str) -> int:
        """Return how many runs of an arm diverged."""
        return sum(run["diverged"] is not None for run in self.of(arm))

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the table, one per arm: column name -> cell as text."""
        return [self._row(arm) for arm in self.arms]

    def table(self) -> str:
        """Return the table in Markdown: means over seeds, and how many runs reached the target."""
        rows = self.rows()
        widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
        lines = [{name: name for name in widths}, {name: "-" * width for name, width in widths.items()}, *rows]
        return "\n".join("| " + " | ".join(line[name].ljust(widths[name]) for name in widths) + " |" for line in lines)

    def summary(self) -> str:
        """Return the verdicts, the settings, the table and the problems as text."""
        # Of all measures, the summary has the metric and one time; the report has all of them.
        lines = [self.verdicts[arm]["final"].sentence for arm in self.arms[1:]]
        lines += [self.verdicts[arm]["epochs"].sentence for arm in self.arms[1:]]
        lines += [f"{arm} diverged with every seed." for arm in self.arms if self.diverged(arm) == len(self.seeds)]
        better = "higher" if self.mode == "max" else "lower"
        margin = "none was given" if self.margin is None else f"{self.margin:g}"
        lines += [
            "",
            f"{self.metric}, {better} is better; {len(self.seeds)} seeds; differences that do not matter: {margin}.",
            self._describe_target(),
            "",
            self.table(),
        ]
        return "\n".join([*lines, *(f"Problem: {problem}" for problem in self.problems)])

    def _draw(self, ax: Axes | None) -> Axes:
        from onecycle.plot import plot_comparison

        return plot_comparison(self, ax)

    def _headline(self) -> str:
        return f"{len(self.arms)} arms, {len(self.seeds)} seeds, {self.metric}"

    def plot_differences(self, measure: str = "final", ax: Axes | None = None) -> Axes:
        """Draw the difference to the baseline for each seed, and the mean of each arm with its interval.

        Args:
            measure: "final", "best", "loss", "steps", "epochs", "samples" or "seconds".
            ax: Axes to draw on, or None for a new figure.

        Returns:
            The Axes.

        Raises:
            ImportError: If matplotlib is missing. The message says what to install.
            ValueError: If `measure` is none of these.
        """
        from onecycle.plot import plot_differences

        return plot_differences(self, measure, ax)

    def _describe_target(self) -> str:
        if math.isfinite(self.target):
            search = max(map(finder_epochs, self.runs), default=0.0)
            included = f" Times include the search for the rate, of up to {search:.3g} epochs." if search else ""
            return f"Target {self.target:.4g}: {self.target_from}.{included}"
        return f"There is no target and there are no times: {self.baseline} never had a finite {self.metric}."

    def _row(self, arm: str) -> dict[str, str]:
        runs = self.of(arm)
        # A bar or a line break in a name would end a cell of the table.
        row = {
            "arm": " ".join(arm.split()).replace("|", "\\|"),
            f"final {self.metric}": _mean_and_deviation([run["final"] for run in runs]),
        }
        row["best"] = _mean_and_deviation([run["best"] for run in runs])
        row["target reached"] = f"{sum(run['reached'] for run in runs)} of {len(runs)}"
        row |= {measure: _mean_time(runs, measure) for measure in TIMES}
        verdict = self.verdicts[arm]["final"].kind if arm in self.verdicts else "baseline"
        return row | {"verdict": verdict}


def _mean_time(runs: tuple[MeasuredRun, ...], measure: str) -> str:
    """Return the mean time to the target as text, or a lower bound of it where some runs did not reach the target."""
    # A run that did not reach the target counts with its length, so the mean is then a lower bound.
    values = [time_or_length(run, measure) for run in runs]
    counted = [value for value in values if value is not None]
    if len(counted) < len(values):  # samples cannot be counted in every data set
        return "-"
    bound = "" if all(run["reached"] for run in runs) else "> "
    return f"{bound}{sum(counted) / len(counted):.4g}"


def _mean_and_deviation(values: list[float]) -> str:
    """Return mean and standard deviation of the finite values as text."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return "-"
    mean = sum(finite) / len(finite)
    others = f" ({len(values) - len(finite)} not finite)" if len(finite) < len(values) else ""
    if len(finite) == 1:
        return f"{mean:.4g}{others}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in finite) / (len(finite) - 1))
    return f"{mean:.4g} ± {deviation:.2g}{others}"
