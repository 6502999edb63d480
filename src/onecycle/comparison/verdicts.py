"""The verdict on each arm in each measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onecycle.comparison import statistics
from onecycle.comparison.censoring import censored_differences, fill_failed_pairs
from onecycle.comparison.statistics import UNKNOWN, PairedTest
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
        sign: 1 where higher is better, -1 where lower is.
        margin: Largest difference that is of no practical interest, in the units of `values`, or None.
    """

    measure: str
    arms: tuple[str, ...]
    values: Array
    failed: NDArray[np.bool_]
    lengths: Array
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
        return cls(
            measure=measure,
            arms=tuple(arms),
            values=values,
            # A run that missed the target has no time either, but it did not fail: it is censored.
            failed=diverged if is_time else np.isnan(values),
            lengths=lengths,
            sign=-1.0 if is_time or measure == "loss" or mode == "min" else 1.0,
            # The margin is one of the metric: it says nothing about the loss.
            margin=math.log(TIME_MARGIN) if is_time else None if measure == "loss" else margin,
        )

    @property
    def is_time(self) -> bool:
        """Whether the measure is a time to the target."""
        return self.measure in TIMES

    def verdicts(self) -> dict[str, Verdict]:
        """Return the verdict on each arm but the baseline, with p values adjusted for the number of arms."""
        tested = range(1, len(self.arms))
        if np.isnan(self.values).all():
            return {self.arms[arm]: _not_measured(self.arms[arm], self.measure) for arm in tested}
        differences = [self._differences(arm) for arm in tested]
        tests = [self._test(arm, row) for arm, row in zip(tested, differences, strict=True)]
        adjusted = statistics.adjusted_p_values(tests)
        return {
            self.arms[arm]: self._verdict(arm, row, test, p_values)
            for arm, row, test, p_values in zip(tested, differences, tests, adjusted, strict=True)
        }

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
        return statistics.paired_test(self.sign * differences, self._equivalence_margin(arm))

    def _verdict(self, arm: int, differences: Array, test: PairedTest, p_values: tuple[float, float]) -> Verdict:
        kind = statistics.verdict_kind(test, *p_values)
        tested_arms = len(self.arms) - 1
        more = statistics.more_seeds(test, self._equivalence_margin(arm), tested_arms) if kind == UNKNOWN else None
        effect, low, high = self._effect(arm, differences, test)
        verdict = Verdict(
            measure=self.measure,
            kind=kind,
            effect=effect,
            low=low,
            high=high,
            p=p_values[0],
            probability=test.probability,
            seeds=test.seeds,
            margin=None if self.margin is None else self._reported(self.margin),
            more_seeds=more,
            sentence="",
            differences=tuple(self._reported(number) for number in differences),
            censored=tuple(np.isnan(self.values[arm] + self.values[0]).tolist()),
        )
        return replace(verdict, sentence=verdict_sentence(verdict, self._counts(arm)))

    def _effect(self, arm: int, differences: Array, test: PairedTest) -> tuple[float, float, float]:
        """Return the mean effect and the ends of its interval, in the units of a verdict."""
        low, high = (test.low, test.high) if self.sign > 0 else (-test.high, -test.low)
        failed = self._failed_pairs(arm)
        # The spread of censored times says nothing about that of the true times.
        if failed.any() or (self.is_time and self._has_missing(arm)):
            low = high = math.nan
        mean = math.nan if failed.all() else float(differences[~failed].mean())
        return self._reported(mean), self._reported(low), self._reported(high)

    def _equivalence_margin(self, arm: int) -> float | None:
        # A value that stands in for a missing one is no evidence of equivalence.
        return None if self._has_missing(arm) else self.margin

    def _has_missing(self, arm: int) -> bool:
        return bool(np.isnan(self.values[[arm, 0]]).any())

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


def _not_measured(arm: str, measure: str) -> Verdict:
    nan = math.nan
    return Verdict(
        measure=measure, kind=NOT_MEASURED, effect=nan, low=nan, high=nan, p=nan, probability=nan, seeds=0,
        margin=None, more_seeds=None, sentence=not_measured_sentence(arm, measure),
    )  # fmt: skip
