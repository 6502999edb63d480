"""The result of a comparison: every run, and the verdict on every arm. Pure: the verdicts were computed before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onecycle.results import codec
from onecycle.results.base import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is measured of each run, in the order of the table. Times are to the target, the finder's cost included.
METRIC_MEASURES = ("final", "best", "loss")
TIMES = ("steps", "epochs", "samples", "seconds")
MEASURES = (*METRIC_MEASURES, *TIMES)


@codec.storable
@dataclass(frozen=True)
class RunRecord:
    """One run, as its file holds it. Nothing in it depends on the other runs, on the metric or on the target.

    Attributes:
        arm: name of the arm.
        seed: the run's seed.
        identity: hash of all that the run depends on; a record of another identity is not this run's.
        config: the settings as plain data: the arm's, epochs, batch_size, and digests of data and initial weights.
        history: metric -> its value after each epoch, as Keras reports it.
        steps: training steps made up to the end of each epoch.
        samples: rows trained on up to the end of each epoch; empty where they cannot be counted.
        seconds: wall time up to the end of each epoch, compiling, validation and the finder included.
        finder: what finding the rate cost, `steps` and `seconds`; with `learning_rate` and `reason`. Empty without one.
        diverged: the epoch, counted from 1, whose loss was NaN or infinite, where training was ended; or None.
        versions: package -> version.
        machine: cores, processor and system; no names.
    """

    arm: str
    seed: int
    identity: str
    config: Mapping[str, Any]
    history: Mapping[str, list[float]]
    steps: list[int]
    samples: list[int]
    seconds: list[float]
    finder: Mapping[str, Any]
    diverged: int | None
    versions: Mapping[str, str]
    machine: Mapping[str, Any]


@codec.storable
@dataclass(frozen=True)
class Verdict:
    """What the seeds say of one arm against the baseline in one measure.

    Attributes:
        measure: "final", "best" (of the metric), "loss", or a time to the target: "steps", "epochs", "samples",
            "seconds".
        kind: "better", "worse", "no practical difference", "cannot tell", or "not measured".
        effect: mean paired difference, arm minus baseline; of a time the mean ratio, arm over baseline. Seeds at which
            one of the two runs diverged are left out of the mean, not of the test; NaN if none is left.
        low: lower end of the 95 % interval of the effect; NaN below 2 seeds, where any run diverged, and for times of
            which any is censored.
        high: its upper end.
        p: two-sided p of the sign-flip test, adjusted for the number of arms (Holm); where any run diverged, of their
            signed ranks.
        probability: share of the seeds at which the arm is better, ties counted half.
        seeds: number of pairs.
        margin: the difference (of times: ratio) that does not matter, or None. Where a run has no number nothing is
            held against it.
        more_seeds: about how many more seeds would settle it, or None.
        sentence: the verdict in words.
        differences: each seed's difference, of times its ratio, in the order of the comparison's seeds; infinite (of
            times also 0) where one of the two runs diverged and the other did not.
        censored: of each seed, whether one of the two runs diverged or never came to the target, so that its
            difference is not the true one but one nearer to a tie, or infinite.
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


@codec.storable
@dataclass(frozen=True, eq=False)
class Comparison(Result):
    """A paired comparison of ways to train.

    Attributes:
        arms: names of the arms, the baseline first.
        seeds: the seeds.
        runs: a dict for each run: the fields of its record, and `final`, `best`, `loss` (NaN where it diverged),
            `reached` (whether it came to the target) and `steps_to_target`, `epochs_to_target`, `samples_to_target`,
            `seconds_to_target` (None where it did not; then `censored_at` holds how long the run was, in all four).
        verdicts: arm -> measure -> Verdict, for all arms but the baseline.
        metric: what is compared, a key of the history.
        mode: "max" where a higher metric is better, "min" where a lower is.
        target: the value of the metric that the times are to.
        target_from: where the target comes from, in words.
        margin: the difference of the metric that does not matter, as given before the runs, or None.
        curves: arm -> "mean", "low", "high": the metric's mean over seeds after each epoch and its 95 % interval; NaN
            where there are too few runs left.
        config: the settings of the comparison.
        problems: what was wrong with records found, each a sentence.
        versions: package -> version, where the comparison was put together.
    """

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[Mapping[str, Any], ...]
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

    def of(self, arm: str) -> tuple[Mapping[str, Any], ...]:
        """The runs of one arm, by seed."""
        return tuple(sorted((run for run in self.runs if run["arm"] == arm), key=lambda run: run["seed"]))

    def rows(self) -> list[dict[str, str]]:
        """The table as dicts of text, a row for each arm, for any way of drawing tables."""
        return [self._row(arm) for arm in self.arms]

    def table(self) -> str:
        """The table as text: means over seeds, and how many runs came to the target."""
        rows = self.rows()
        widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
        lines = [{name: name for name in widths}, {name: "-" * width for name, width in widths.items()}, *rows]
        return "\n".join("| " + " | ".join(line[name].ljust(widths[name]) for name in widths) + " |" for line in lines)

    def summary(self) -> str:
        """Returns the result as text: the verdicts, what was compared, the table, and what was wrong."""
        lines = [self.verdicts[arm]["final"].sentence for arm in self.arms[1:]]
        lines += [self.verdicts[arm]["epochs"].sentence for arm in self.arms[1:]]
        better = "higher" if self.mode == "max" else "lower"
        margin = "none was given" if self.margin is None else f"{self.margin:g}"
        lines += [
            "",
            f"{self.metric}, {better} is better; {len(self.seeds)} seeds; differences that do not matter: {margin}.",
            self._target_told(),
            "",
            self.table(),
        ]
        return "\n".join([*lines, *(f"Problem: {problem}" for problem in self.problems)])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the metric over the epochs: each seed, each arm's mean and its interval, and where it meets the target.

        Raises:
            ImportError: without matplotlib; the message says what to install.
        """
        from onecycle.plot import plot_comparison

        return plot_comparison(self, ax)

    def plot_differences(self, measure: str = "final", ax: Axes | None = None) -> Axes:
        """Draws each seed's difference to the baseline, and each arm's mean with its interval.

        Args:
            measure: "final", "best", "loss", "steps", "epochs", "samples" or "seconds".
            ax: Axes to draw on, or None for a new figure.

        Raises:
            ImportError: without matplotlib; the message says what to install.
        """
        from onecycle.plot import plot_differences

        return plot_differences(self, measure, ax)

    def _target_told(self) -> str:
        if math.isfinite(self.target):
            return f"Target {self.target:.4g}: {self.target_from}. Times include the finder's cost."
        return f"No target, so that there are no times: {self.baseline} never had a {self.metric} that is a number."

    def _row(self, arm: str) -> dict[str, str]:
        runs = self.of(arm)
        row = {"arm": arm, f"final {self.metric}": _spread([run["final"] for run in runs])}
        row["best"] = _spread([run["best"] for run in runs])
        row["target reached"] = f"{sum(run['reached'] for run in runs)} of {len(runs)}"
        row |= {name: _mean_time(runs, name) for name in TIMES}
        verdict = self.verdicts[arm]["final"].kind if arm in self.verdicts else "baseline"
        return row | {"verdict": verdict}


def _mean_time(runs: tuple[Mapping[str, Any], ...], name: str) -> str:
    """Mean time to the target, runs that never came there counted as long as they were: then it is a lower bound."""
    values = [run[f"{name}_to_target"] if run["reached"] else run["censored_at"][name] for run in runs]
    if None in values:
        return "-"
    bound = "" if all(run["reached"] for run in runs) else "> "
    return f"{bound}{sum(values) / len(values):.4g}"


def _spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    good = [value for value in values if value is not None and math.isfinite(value)]
    if not good:
        return "-"
    mean = sum(good) / len(good)
    lost = f" ({len(values) - len(good)} not finite)" if len(good) < len(values) else ""
    if len(good) == 1:
        return f"{mean:.4g}{lost}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in good) / (len(good) - 1))
    return f"{mean:.4g} ± {deviation:.2g}{lost}"
