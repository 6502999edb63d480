"""Which candidate of a race is better at a cut, and which peak is missing beside the best one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onecycle.finding.race_data import Judge
from onecycle.finding.race_member import RaceMember

# Both from the tuning tasks of studies/2026-11-28_benchmark. At the first cut, the averaged weights are judged by where
# their score leads to at the last one, given that at `TREND_FROM`. A network that will overfit shows it in this trend
# long before its score becomes worse.
TREND_FROM = 0.1
RATIO = 2.5  # of neighboring candidates at the end, and of the peaks that are added
# A candidate has learned something if its loss has fallen by the first part, or is below guessing by the second.
LEAST_FALL, LEAST_GAIN = 0.1, 0.02
LEAST_MOVE = 0.001  # of the score at the start; a network at a rate that is much too low moves less


@dataclass(frozen=True)
class Baseline:
    """What a candidate that learns something is better than.

    Attributes:
        guessing: The training loss of a model that predicts a constant; 0 where it is not known.
        start_score: Returns the score of the model before its training.
    """

    guessing: float
    start_score: Callable[[], float]

    def is_stuck(self, member: RaceMember) -> bool:
        """Return whether the training loss of a candidate stays at that of guessing, or above it."""
        losses = [loss for _, loss in member.curve]
        falls = losses[-1] < (1 - LEAST_FALL) * losses[len(losses) // 2]
        return losses[-1] >= (1 - LEAST_GAIN) * self.guessing > 0 and not falls


class Standing:
    """Compares candidates.

    Args:
        judge: Knows which score is better.
        cut_steps: Cut -> the step of the cycle at which it is made.
        trend_step: The step of the score at `TREND_FROM`; 0 for no trend.
        baseline: What a candidate that learns is better than; None if the user chose the peaks, whatever they do.
    """

    def __init__(
        self,
        judge: Judge,
        cut_steps: Mapping[float, int],
        trend_step: int,
        baseline: Baseline | None = None,
    ) -> None:
        self._judge, self._cut_steps, self._trend_step = judge, cut_steps, trend_step
        self._baseline = baseline

    def key(self, member: RaceMember, cut: float) -> float:
        """Return a number that is lower for a candidate that is better at a cut."""
        return self._judge.key(self.expected(member, cut))

    def expected(self, member: RaceMember, cut: float) -> float:
        """Return the score of a candidate; at the first cut the one that its trend leads to at the last cut."""
        score, earlier = member.scores.get(cut, float("nan")), member.scores.get(TREND_FROM, float("nan"))
        step, last = self._cut_steps[cut], max(self._cut_steps.values())
        if step == last or not np.isfinite(earlier) or not 0 < self._trend_step < step:
            return score
        return score + (score - earlier) * (last - step) / (step - self._trend_step)

    def described(self, member: RaceMember, cut: float) -> str:
        """Return the score of a candidate as text, with the earlier one where the trend decides."""
        score = member.scores[cut]
        if self.expected(member, cut) == score:
            return f"{score:.4g}"
        return f"{score:.4g} ({member.scores[TREND_FROM]:.4g} at {100 * TREND_FROM:.0f} %)"

    def next_to_best(self, members: Sequence[RaceMember], best: RaceMember, cut: float) -> float | None:
        """Return a peak beside the best candidate where there is none, rather on the side that is better, or None.

        Args:
            members: All candidates.
            best: The best of them.
            cut: The cut.
        """
        others = [member for member in members if member is not best]
        beside: list[tuple[float, float]] = []
        for rate in (best.learning_rate / RATIO, best.learning_rate * RATIO):
            is_lower = rate < best.learning_rate
            side = [one for one in others if (one.learning_rate < best.learning_rate) == is_lower]
            if not side:
                return rate
            neighbor = min(side, key=lambda one: _distance(one.learning_rate, rate))
            if _distance(neighbor.learning_rate, rate) > np.log(RATIO) / 2:
                beside.append((self.key(neighbor, cut), rate))
        return min(beside)[1] if beside else None

    def missing_side(self, members: Sequence[RaceMember], cut: float) -> int:
        """Return 1 if all candidates are too low to learn anything, -1 if they are too high, and 0 if one has learned.

        A network that has died stays at one loss, as one does that hardly moves: that of guessing, or above it.

        Args:
            members: All candidates, at the first cut.
            cut: The cut.
        """
        alive = [member for member in members if not member.dropped]
        if not alive:
            return -1
        if self._baseline is None:
            return 0
        are_stuck = all(self._baseline.is_stuck(member) for member in alive)
        if not are_stuck and any(_loss_fell(member) for member in alive):
            return 0
        # Only now, since it costs an evaluation.
        score = self._baseline.start_score()
        start, least = self._judge.key(score), LEAST_GAIN * abs(score)
        best = min(alive, key=lambda one: self._judge.key(one.scores[cut]))
        reached = self._judge.key(best.scores[cut])
        if not are_stuck and reached < start - least:
            return 0
        if len(alive) < len(members) or reached >= start + least:
            return -1
        is_highest = best is max(alive, key=lambda one: one.learning_rate)
        return 1 if is_highest or all(_is_near(one.scores[cut], score) for one in alive) else -1


def _loss_fell(member: RaceMember) -> bool:
    """Return whether the training loss of a candidate has fallen since its first steps."""
    first, last = member.curve[0][1], member.curve[-1][1]
    return last < first - LEAST_FALL * abs(first)


def _is_near(score: float, start: float) -> bool:
    """Return whether a network has hardly moved, and has not died either."""
    return abs(score - start) <= LEAST_MOVE * abs(start)


def _distance(rate: float, other: float) -> float:
    return float(abs(np.log(rate / other)))
