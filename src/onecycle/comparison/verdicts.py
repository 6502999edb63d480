"""The verdict on each arm in each measure, in numbers and in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.comparison import statistics
from onecycle.comparison.censoring import censored_differences, decided_by_loss
from onecycle.comparison.measures import Run, whole_length
from onecycle.comparison.statistics import BETTER, SAME, UNKNOWN, WORSE, Paired
from onecycle.results.comparison import MEASURES, TIMES, Verdict

Array = NDArray[np.float64]

TIME_MARGIN = 1.1  # ours: of two times, a ratio between 1 / 1.1 and 1.1 does not matter
NOT_MEASURED = "not measured"
BOUND = "its ratio is a bound, the mean has no interval"
PLACES = {"final": "after the last epoch", "best": "at the best epoch", "loss": "in the loss after the last epoch"}


def verdicts(
    runs: Sequence[Run], arms: Sequence[str], mode: str, margin: float | None
) -> dict[str, dict[str, Verdict]]:
    """Returns the verdict on each arm but the first, by measure.

    Args:
        runs: dicts with every measure, each arm with the same seeds.
        arms: names, the baseline first.
        mode: "max" or "min", of the metric.
        margin: the difference of the metric that does not matter, or None. Of times the ratio 1.1 does not.
    """
    tables = [Table.read(runs, arms, measure, mode, margin) for measure in MEASURES]
    by_measure = [table.verdicts() for table in tables]
    return {arm: {v[arm].measure: v[arm] for v in by_measure} for arm in arms[1:]}


@dataclass(frozen=True)
class Table:
    """One measure of all runs.

    Attributes:
        measure: its name.
        arms: the arms, the baseline first.
        values: (arms, seeds): the measure, of a time its logarithm; NaN where the run diverged, or never came to the
            target.
        lost: (arms, seeds): whether the run diverged, or its metric is no number: it is worse than any other.
        lengths: (arms, seeds): how long each run was, in the same units, for times.
        sign: 1 where higher is better, -1 where lower is.
        margin: what does not matter, in the units of `values`, or None.
    """

    measure: str
    arms: tuple[str, ...]
    values: Array
    lost: NDArray[np.bool_]
    lengths: Array
    sign: float
    margin: float | None

    @classmethod
    def read(cls, runs: Sequence[Run], arms: Sequence[str], measure: str, mode: str, margin: float | None) -> Table:
        rows = [sorted((run for run in runs if run["arm"] == arm), key=lambda run: run["seed"]) for arm in arms]
        is_time = measure in TIMES
        values = np.array([[_value(run, measure) for run in row] for row in rows], dtype=np.float64)
        values = np.where(np.isfinite(values), values, np.nan)
        diverged = np.array([[run["diverged"] is not None for run in row] for row in rows])
        lengths = np.array([[_length(run, measure) for run in row] for row in rows], dtype=np.float64)
        return cls(
            measure=measure,
            arms=tuple(arms),
            values=values,
            lost=diverged if is_time else np.isnan(values),
            lengths=lengths,
            sign=-1.0 if is_time or measure == "loss" or mode == "min" else 1.0,
            margin=math.log(TIME_MARGIN) if is_time else None if measure == "loss" else margin,
        )

    @property
    def is_time(self) -> bool:
        return self.measure in TIMES

    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each arm but the baseline, p adjusted for their number."""
        if np.isnan(self.values).all():
            return {arm: _nothing(arm, self.measure) for arm in self.arms[1:]}
        differences = [self._differences(arm) for arm in range(1, len(self.arms))]
        # Positive is better, whatever is measured.
        founds = [
            statistics.paired(self.sign * row, None if any(self._missing(arm)) else self.margin)
            for arm, row in enumerate(differences, 1)
        ]
        adjusted = statistics.adjusted(founds)
        return {
            arm: self._verdict(k, differences[k - 1], founds[k - 1], *adjusted[k - 1])
            for k, arm in enumerate(self.arms[1:], 1)
        }

    def _differences(self, arm: int) -> Array:
        one, other, lost, lost_other = self.values[arm], self.values[0], self.lost[arm], self.lost[0]
        if not self.is_time:
            return decided_by_loss(one - other, lost, lost_other, self.sign)
        differences = censored_differences(one, other, self.lengths[arm], self.lengths[0])
        # Neither of two that did not get there is better, whether the one has diverged or not.
        nobody = np.isnan(one) & np.isnan(other)
        return decided_by_loss(differences, lost & ~nobody, lost_other & ~nobody, self.sign)

    def _verdict(self, arm: int, differences: Array, found: Paired, p: float, p_same: float) -> Verdict:
        kind = statistics.decide(found, p, p_same)
        lacking = any(self._missing(arm))
        margin = None if lacking else self.margin
        more = statistics.more_seeds(found, margin, len(self.arms) - 1) if kind == UNKNOWN else None
        low, high = (found.low, found.high) if self.sign > 0 else (-found.high, -found.low)
        lost = self._lost(arm)
        # Times cut short have a spread of their own, which says nothing of the true one's.
        if lost.any() or (self.is_time and lacking):
            low = high = math.nan
        mean = math.nan if lost.all() else differences[~lost].mean()
        effect, low, high = (self._shown(number) for number in (mean, low, high))
        return Verdict(
            measure=self.measure,
            kind=kind,
            effect=effect,
            low=low,
            high=high,
            p=p,
            probability=found.probability,
            seeds=found.seeds,
            margin=None if self.margin is None else self._shown(self.margin),
            more_seeds=more,
            sentence=self._sentence(arm, kind, (effect, low, high), p, found.seeds, more),
            differences=tuple(self._shown(number) for number in differences),
            censored=tuple(np.isnan(self.values[arm] + self.values[0]).tolist()),
        )

    def _missing(self, arm: int) -> tuple[int, int]:
        """How many runs of the arm, and of the baseline, have no number: nothing is the same for what is put there."""
        missing = np.isnan(self.values).sum(axis=1)
        return int(missing[arm]), int(missing[0])

    def _lost(self, arm: int) -> NDArray[np.bool_]:
        """(seeds,): whether one of the two runs diverged or has no number."""
        return np.asarray(self.lost[arm] | self.lost[0])

    def _shown(self, number: float) -> float:
        """A number as people want it: a difference, or of times, whose logarithms are compared, the ratio."""
        return float(np.exp(number)) if self.is_time else float(number)

    def _sentence(
        self, arm: int, kind: str, numbers: tuple[float, float, float], p: float, seeds: int, more: int | None
    ) -> str:
        name, baseline = self.arms[arm], self.arms[0]
        effect, low, high = numbers
        what = _told(effect, self.measure)
        interval = "" if math.isnan(low) else f"95 % interval {low:.3g} to {high:.3g}; "
        evidence = f" ({interval}p = {p:.2g}{self._family})" if seeds > 1 else ""
        margin = "" if self.margin is None else f"{self._shown(self.margin):.3g}"
        verdict = {
            BETTER: f"{name} is better than {baseline}",
            WORSE: f"{name} is worse than {baseline}",
            SAME: f"{name} makes no practical difference to {baseline} (margin {margin})",
            UNKNOWN: f"{name} against {baseline}: cannot tell yet ({self._advice(arm, more, seeds)})",
        }[kind]
        return f"{verdict}: {what}{evidence}.{self._caveat(arm, seeds)}"

    @property
    def _family(self) -> str:
        others = len(self.arms) - 1
        return f" for {others} arms" if others > 1 else ""

    def _advice(self, arm: int, more: int | None, seeds: int) -> str:
        arms = len(self.arms) - 1
        if more is None:
            could = self.margin is None and self.measure != "loss" and not any(self._missing(arm))
            margin = "; with a `margin` it might be told that they are alike" if could else ""
            return f"more than {statistics.MOST_SEEDS} seeds would be needed{margin}"
        of = f" for {arms} arms" if arms > 1 else ""
        few = f"{_seeds(seeds)}{of} never can; " if seeds < statistics.fewest_seeds(arms) else ""
        return f"{few}about {more} more seed{'s' if more != 1 else ''} would"

    def _caveat(self, arm: int, seeds: int) -> str:
        missing, lost = self._missing(arm), self.lost[[arm, 0]].sum(axis=1)
        if not any(missing):
            return ""
        pairs = int((~self._lost(arm)).sum())
        others = "any that came there" if self.is_time else "all others"
        mean = f"; the mean is that of the other {_seeds(pairs)}" if pairs else ""
        worse = (
            f"Runs that diverged or have no number count as worse than {others}: "
            f"{lost[0]} of {seeds}, and {lost[1]} of the baseline{mean}."
        )
        if not self.is_time:
            return f" {worse}"
        reached = f" {seeds - missing[0]} of {seeds} runs came there, and {seeds - missing[1]} of the baseline's"
        bound = f"{reached}; a run that did not counts as no longer than it was: {BOUND}."
        return f"{bound} {worse}" if lost.any() else bound


def _value(run: Run, measure: str) -> float:
    """The measure of a run, of a time its logarithm; NaN where there is none."""
    if measure not in TIMES:
        return float(run[measure])
    value = run[f"{measure}_to_target"]
    return math.nan if value is None else math.log(value)


def _told(effect: float, measure: str) -> str:
    if math.isnan(effect):
        return f"no seed has two numbers {PLACES.get(measure, 'to compare')}"
    return f"{effect:.3g} times the {measure} to the target" if measure in TIMES else f"{effect:+.3g} {PLACES[measure]}"


def _seeds(number: int) -> str:
    return f"{number} seed{'s' if number != 1 else ''}"


def _length(run: Run, measure: str) -> float:
    """How long a run was, as a logarithm, for times; else nothing."""
    length = whole_length(run)[measure] if measure in TIMES else None
    return math.nan if not length else math.log(length)


def _nothing(arm: str, measure: str) -> Verdict:
    nan = math.nan
    if measure in TIMES:
        what = f"no {measure} to the target to compare: no run of any arm came there, or they were not counted."
    else:
        what = f"nothing to compare {PLACES[measure]}: no run of any arm has a number there, as where all diverged."
    return Verdict(
        measure=measure, kind=NOT_MEASURED, effect=nan, low=nan, high=nan, p=nan, probability=nan, seeds=0,
        margin=None, more_seeds=None, sentence=f"{arm}: {what}",
    )  # fmt: skip
