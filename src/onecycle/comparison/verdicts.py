"""The verdict on each arm in each measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onecycle.comparison.censoring import censored_differences, fill_failed_pairs
from onecycle.comparison.planning import fewest_seeds, more_seeds
from onecycle.comparison.resolution import metric_resolution, time_resolution
from onecycle.comparison.statistics import UNKNOWN, PairedTest, paired_test, verdict_kind
from onecycle.comparison.verdict_sentences import RunCounts, not_measured_sentence, verdict_sentence
from onecycle.results.comparison import Verdict
from onecycle.results.runs import MEASURES, TIMES, MeasuredRun, time_or_length, time_to_target

Array = NDArray[np.float64]

TIME_MARGIN = 1.1  # our choice: ratios of two times between 1 / 1.1 and 1.1 are of no practical interest
NOT_MEASURED = "not measured"


def verdicts_by_arm(
    runs: Sequence[MeasuredRun], arms: Sequence[str], mode: str, margin: float | None
) -> dict[str, dict[str, Verdict]]:
    """Return arm -> measure -> verdict for all arms but the baseline.

    Args:
        runs: Measured runs, with the same seeds for every arm.
        arms: Names of the arms, the baseline first.
        mode: "max" where a higher metric is better, "min" where a lower one is.
        margin: Largest difference of the metric that is of no practical interest, > 0, or None. The margin of times is
            always the ratio 1.1.
    """
    tables = [MeasureTable.from_runs(runs, arms, measure, mode, margin) for measure in MEASURES]
    by_measure = [table.verdicts() for table in tables]
    return {arm: {verdicts[arm].measure: verdicts[arm] for verdicts in by_measure} for arm in arms[1:]}


@dataclass(frozen=True)
class MeasureTable:
    """The values of one measure in all runs.

    Attributes:
        measure: Name of the measure.
        arms: Names of the arms, the baseline first.
        values: Array of shape (arms, seeds) with the values of the measure, for a time their logarithms. NaN where the
            run diverged or never reached the target.
        failed: Array of shape (arms, seeds), whether the run diverged or its metric is not finite. Such a run is worse
            than any other.
        lengths: Array of shape (arms, seeds), the logarithm of the time that a run took to the target or, where it did
            not reach it, of its length. NaN if the measure is not a time.
        epochs: Array of shape (arms, seeds), the epochs to the target. NaN where it was not reached.
        sign: 1 where higher is better, -1 where lower is.
        margin: Largest difference that is of no practical interest, in the units of `values`, or None.
    """

    measure: str
    arms: tuple[str, ...]
    values: Array
    failed: NDArray[np.bool_]
    lengths: Array
    epochs: Array
    sign: float
    margin: float | None

    @classmethod
    def from_runs(
        cls, runs: Sequence[MeasuredRun], arms: Sequence[str], measure: str, mode: str, margin: float | None
    ) -> MeasureTable:
        """Collect the values of a measure.

        Args:
            runs: Measured runs, with the same seeds for every arm.
            arms: Names of the arms, the baseline first.
            measure: Name of the measure.
            mode: "max" or "min", the direction of the metric.
            margin: Largest difference of the metric that is of no practical interest, or None.
        """
        rows = [sorted((run for run in runs if run["arm"] == arm), key=lambda run: run["seed"]) for arm in arms]
        is_time = measure in TIMES
        values = np.array([[_value(run, measure) for run in row] for row in rows], dtype=np.float64)
        # An infinite metric counts as missing, as NaN does.
        values = np.where(np.isfinite(values), values, np.nan)
        diverged = np.array([[run["diverged"] is not None for run in row] for row in rows])
        lengths = np.array([[_log_length(run, measure) for run in row] for row in rows], dtype=np.float64)
        epochs = np.array([[time_to_target(run, "epochs") for run in row] for row in rows], dtype=np.float64)
        return cls(
            measure=measure,
            arms=tuple(arms),
            values=values,
            # A run that missed the target has no time either, but it did not fail: it is censored.
            failed=diverged if is_time else np.isnan(values),
            lengths=lengths,
            epochs=epochs,
            sign=-1.0 if is_time or measure == "loss" or mode == "min" else 1.0,
            # The margin is one of the metric: it says nothing about the loss.
            margin=math.log(TIME_MARGIN) if is_time else None if measure == "loss" else margin,
        )

    @property
    def is_time(self) -> bool:
        """Whether the measure is a time to the target."""
        return self.measure in TIMES

    def verdicts(self) -> dict[str, Verdict]:
        """Return the verdict on each arm but the baseline, adjusted for the number of arms."""
        tested = range(1, len(self.arms))
        if np.isnan(self.values).all():
            return {self.arms[arm]: self._not_measured(arm) for arm in tested}
        return {self.arms[arm]: self._verdict(arm, self._differences(arm)) for arm in tested}

    def _differences(self, arm: int) -> Array:
        ours, theirs = self.values[arm], self.values[0]
        failed, baseline_failed = self.failed[arm], self.failed[0]
        if not self.is_time:
            return fill_failed_pairs(ours - theirs, failed, baseline_failed, self.sign)
        differences = censored_differences(ours, theirs, self.lengths[arm], self.lengths[0])
        # Of two runs that missed the target neither is better, even if one of them diverged.
        both = np.isnan(ours) & np.isnan(theirs)
        return fill_failed_pairs(differences, failed & ~both, baseline_failed & ~both, self.sign)

    def _test(self, arm: int, differences: Array) -> PairedTest:
        # Multiplied by the sign, positive differences are better for every measure.
        return paired_test(
            self.sign * differences,
            arms=len(self.arms) - 1,
            resolution=self._resolution(arm, differences),
            missing=bool(np.isnan(self.values[[arm, 0]]).any()),
        )

    def _resolution(self, arm: int, differences: Array) -> float:
        if self.is_time:
            return time_resolution(self.epochs[[arm, 0]])
        return metric_resolution(self.values[[arm, 0]], differences)

    def _verdict(self, arm: int, differences: Array) -> Verdict:
        test = self._test(arm, differences)
        kind = verdict_kind(test, self.margin)
        low, high = (test.low, test.high) if self.sign > 0 else (-test.high, -test.low)
        has_interval = not math.isnan(low)
        verdict = Verdict(
            measure=self.measure,
            kind=kind,
            effect=self._reported(self._mean(arm, differences)),
            low=self._reported(low),
            high=self._reported(high),
            p=test.p,
            probability=test.probability,
            seeds=test.seeds,
            margin=None if self.margin is None else self._reported(self.margin),
            # Equivalence is never claimed without an interval.
            more_seeds=more_seeds(test, self.margin if has_interval else None) if kind == UNKNOWN else None,
            sentence="",
            differences=tuple(self._reported(number) for number in differences),
            censored=tuple(np.isnan(self.values[arm] + self.values[0]).tolist()),
            interval_arms=test.arms,
        )
        return replace(verdict, sentence=verdict_sentence(verdict, self._counts(arm), fewest_seeds(test)))

    def _not_measured(self, arm: int) -> Verdict:
        nan = math.nan
        return Verdict(
            measure=self.measure, kind=NOT_MEASURED, effect=nan, low=nan, high=nan, p=nan, probability=nan, seeds=0,
            margin=None, more_seeds=None, sentence=not_measured_sentence(self.arms[arm], self.measure),
            interval_arms=len(self.arms) - 1,
        )  # fmt: skip

    def _mean(self, arm: int, differences: Array) -> float:
        """Return the mean over the seeds at which no run failed."""
        failed = self._failed_pairs(arm)
        return math.nan if failed.all() else float(differences[~failed].mean())

    def _failed_pairs(self, arm: int) -> NDArray[np.bool_]:
        """Return for each seed whether at least one of the two runs failed."""
        return np.asarray(self.failed[arm] | self.failed[0])

    def _counts(self, arm: int) -> RunCounts:
        missing, failed = np.isnan(self.values).sum(axis=1), self.failed.sum(axis=1)
        return RunCounts(
            arm=self.arms[arm],
            baseline=self.arms[0],
            tested_arms=len(self.arms) - 1,
            missing=(int(missing[arm]), int(missing[0])),
            failed=(int(failed[arm]), int(failed[0])),
            valid_pairs=int((~self._failed_pairs(arm)).sum()),
        )

    def _reported(self, number: float) -> float:
        """Return a difference as it is and, for times, whose logarithms are compared, as a ratio."""
        return float(np.exp(number)) if self.is_time else float(number)


def _value(run: MeasuredRun, measure: str) -> float:
    """Return the value of a measure, for a time its logarithm, or NaN if there is none."""
    if measure in TIMES:
        return _log(time_to_target(run, measure))
    return float({"final": run["final"], "best": run["best"], "loss": run["loss"]}[measure])


def _log_length(run: MeasuredRun, measure: str) -> float:
    return _log(time_or_length(run, measure)) if measure in TIMES else math.nan


def _log(time: float | None) -> float:
    return math.log(time) if time else math.nan
