"""Which candidate of a race is better at a cut, and which peak is missing beside the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onecycle.finding.race_data import Judge
from onecycle.finding.race_member import RaceMember

# Both from the tuning tasks of studies/2026-11-28_benchmark. At the first cut, the averaged weights are judged by where
# their score leads to at the last one, given that at `TREND_FROM`. A network that will overfit shows it in this trend
# long before its score becomes worse.
TREND_FROM = 0.1
RATIO = 2.5  # of neighboring candidates at the end, and of the peaks that are added


class Standing:
    """Compares candidates.

    Args:
        judge: Knows which score is better.
        cut_steps: Cut -> the step of the cycle at which it is made.
        trend_step: The step of the score at `TREND_FROM`; 0 for no trend.
    """

    def __init__(self, judge: Judge, cut_steps: Mapping[float, int], trend_step: int) -> None:
        self._judge, self._cut_steps, self._trend_step = judge, cut_steps, trend_step

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


def _distance(rate: float, other: float) -> float:
    return float(abs(np.log(rate / other)))
