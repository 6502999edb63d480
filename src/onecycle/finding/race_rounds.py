"""The rounds of a race: training up to each cut, judging, and dropping the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onecycle.finding.race_data import Judge
from onecycle.finding.race_learning import Baseline
from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_standing import RATIO, Standing

if TYPE_CHECKING:
    from onecycle.finding.race_store import RaceStore
    from onecycle.finding.race_trainers import RaceTrainer

# Fractions of the cycle, from the tuning tasks of studies/2026-11-28_benchmark.
CUTS = (0.24, 0.7)
KEPT_AT_FIRST_CUT = 2
MAX_MORE_SETS = 2  # of candidates, if all diverge or none learns anything
MAX_LOWER = 4  # single candidates, if the lowest one led and then diverged


def planned_steps(candidates: int, cut_steps: Mapping[float, int], total_steps: int) -> int:
    """Return the training steps of a race without added candidates and without its range test.

    Args:
        candidates: Their number.
        cut_steps: Cut -> the step of the cycle at which it is made.
        total_steps: Steps of a whole run.
    """
    first, last = min(cut_steps.values()), max(cut_steps.values())
    return candidates * first + min(candidates, KEPT_AT_FIRST_CUT) * (last - first) + total_steps - last


@dataclass
class Rounds:
    """The rounds of a race.

    Args:
        trainer: Trains the candidates and notes their scores.
        judge: Knows which score is better.
        cut_steps: Cut -> the step of the cycle at which it is made.
        trend_step: The step of the score from which the trend to the first cut is drawn; 0 for no trend.
        total_steps: Steps of a whole run.
        budget: Steps up to which candidates are added after the first cut.
        spent_before: Steps of the range test, and of trainings that were repeated.
        store: The race on disk, or None.
        baseline: What a candidate that learns is better than; None if the user chose the peaks, whatever they do.

    Attributes:
        members: All candidates.
        note: A sentence on candidates that were added, or "".
    """

    trainer: RaceTrainer
    judge: Judge
    cut_steps: dict[float, int]
    total_steps: int
    budget: float
    spent_before: int
    store: RaceStore | None = None
    trend_step: int = 0
    baseline: Baseline | None = None
    members: list[RaceMember] = field(default_factory=list)
    note: str = ""
    _lower: int = 0

    def __post_init__(self) -> None:
        self._standing = Standing(self.judge, self.cut_steps, self.trend_step)

    @property
    def steps_spent(self) -> int:
        """Training steps so far, those of the range test included."""
        return self.spent_before + sum(member.steps for member in self.members)

    @property
    def alive(self) -> list[RaceMember]:
        """The candidates that have not been dropped."""
        return [member for member in self.members if not member.dropped]

    def run(self, learning_rates: Sequence[float]) -> RaceMember:
        """Race these candidates, and return the winner, which is then trained.

        Raises:
            ValueError: If all of them diverge, and lower ones too.
        """
        first, *later = self.cut_steps
        self._first_round(learning_rates, first)
        for cut in later:
            self._round(cut, kept=1)
        return self._finish()

    def best_so_far(self) -> RaceMember | None:
        """Return the candidate that leads: the best of those that got furthest; None if none has been judged."""
        judged = [member for member in self.members if member.scores and member.paused is not None]
        return min(judged, key=lambda one: (-len(one.scores), self._standing.key(one, max(one.scores))), default=None)

    def _first_round(self, learning_rates: Sequence[float], cut: float) -> None:
        self._train([self._new_member(rate) for rate in learning_rates], cut)
        self._refuse_scores_that_are_not_finite(cut)
        for _ in range(MAX_MORE_SETS):
            side = self._missing_side(cut)
            if not side:
                break
            self._train([self._new_member(rate) for rate in self._next_set(side, len(learning_rates))], cut)
        if not self.alive:
            lowest = min(member.learning_rate for member in self.members)
            raise ValueError(
                f"All candidates of the race diverged, down to a peak of {lowest:.3g}. Check the data, or pass lower "
                "`candidates`."
            )
        self._add_candidates(cut)
        self._drop(cut, kept=KEPT_AT_FIRST_CUT if len(self.cut_steps) > 1 else 1)

    def _missing_side(self, cut: float) -> int:
        """Return the side on which others than these candidates may be, -1 for lower ones; 0 if there are enough."""
        if not self.alive:
            return -1
        return 0 if self.baseline is None else self.baseline.missing_side(self.members, cut)

    def _next_set(self, side: int, number: int) -> list[float]:
        """Return more peaks on one side of all others, below (-1) or above (1)."""
        rates = [member.learning_rate for member in self.members]
        if not self.alive:
            self.note = "All candidates diverged, so lower ones were added."
            return [min(rates) / RATIO**k for k in range(1, 1 + number)]
        name = "higher" if side > 0 else "lower"
        self.note = f"No candidate learned anything until the first cut, so {name} ones were added."
        end = max(rates) if side > 0 else min(rates)
        return [end * RATIO ** (2 * side * k) for k in range(1, 1 + number)]

    def _refuse_scores_that_are_not_finite(self, cut: float) -> None:
        """Raise a ValueError if no candidate has a score, and not because it diverged."""
        if self.alive or any(member.diverged for member in self.members):
            return
        raise ValueError(
            f"val_{self.judge.monitor} is not finite for any candidate at {100 * cut:.0f} % of the cycle, though the "
            "training losses are. Pass another `monitor`, or other `validation_data`."
        )

    def _round(self, cut: float, kept: int) -> None:
        if len(self.alive) == 1:
            return
        self._train(self.alive, cut)
        self._replace_lost_leader(cut)
        if self.alive:
            self._drop(cut, kept)

    def _train(self, members: Sequence[RaceMember], cut: float) -> None:
        """Train candidates up to a cut, where they are judged. The new ones join the race."""
        self.members += [member for member in members if member not in self.members]
        # A candidate of an interrupted race may have been here already.
        due = [member for member in members if cut not in member.scores and not member.diverged]
        for member in self.trainer.train(due, cut, self.cut_steps[cut]):
            if self.store is not None:
                self.store.save(member, self.trainer.fits)
            self._drop_if_diverged(member, cut)
        for member in members:
            self._drop_if_diverged(member, cut)

    def _new_member(self, learning_rate: float) -> RaceMember:
        member = self.trainer.fits.new_member(learning_rate)
        if self.store is not None:
            self.store.load(member, self.trainer.fits)
        return member

    def _add_candidates(self, cut: float) -> None:
        """Add candidates beside the best one while the budget allows it."""
        added: list[str] = []
        while (rate := self._standing.next_to_best(self.members, self._best(cut), cut)) is not None:
            # As many go on after the cut as without one more.
            to_come = planned_steps(len(self.alive), self.cut_steps, self.total_steps)
            if self.steps_spent + to_come + (1 - len(self.alive)) * self.cut_steps[cut] > self.budget:
                break
            self._train([self._new_member(rate)], cut)
            added.append(f"{rate:.3g}")
        sentences = [self.note] if self.note else []
        if added:
            were = "was" if len(added) == 1 else "were"
            sentences.append(f"{' and '.join(added)} {were} added next to the candidate that led at the first cut.")
        best, rates = self._best(cut), [member.learning_rate for member in self.members]
        if best.learning_rate in (min(rates), max(rates)):
            end = "lowest" if best.learning_rate == min(rates) else "highest"
            sentences.append(f"The {end} candidate led at the first cut, and the budget allowed no further one.")
        self.note = " ".join(sentences)

    def _best(self, cut: float) -> RaceMember:
        return min(self.alive, key=lambda one: self._standing.key(one, cut))

    def _drop(self, cut: float, kept: int) -> None:
        """Drop all but the best candidates at a cut."""
        ranked = sorted(self.alive, key=lambda one: self._standing.key(one, cut))
        best = ranked[0]
        by_trend = " by its trend" if self._standing.expected(best, cut) != best.scores[cut] else ""
        if kept == KEPT_AT_FIRST_CUT:
            # The trend misleads where a loss falls fast and then no more, so the best of the scores themselves stays.
            leader = min(ranked, key=lambda one: self.judge.key(one.scores[cut]))
            ranked = list(dict.fromkeys([best, leader, *ranked]))
        for member in ranked[kept:]:
            member.dropped = (
                f"Dropped at {100 * cut:.0f} %: val_{self.judge.monitor} {self._standing.described(member, cut)}, "
                f"where the best{by_trend} had {self._standing.described(best, cut)}."
            )
            # The best of those dropped last takes over if the winner diverges.
            if kept > 1 or member is not ranked[kept]:
                member.release()

    def _drop_if_diverged(self, member: RaceMember, cut: float) -> None:
        if not member.dropped and not np.isfinite(member.scores.get(cut, np.nan)):
            self._drop_lost(member)

    def _drop_lost(self, member: RaceMember) -> None:
        member.dropped = f"Diverged: its loss was not finite after {member.steps} steps."
        if not member.diverged:
            member.dropped = f"Dropped after {member.steps} steps: val_{self.judge.monitor} was not finite."
        member.release()

    def _replace_lost_leader(self, cut: float) -> None:
        """Add a lower candidate where the lowest one led and then diverged, whatever the budget is.

        Those with higher peaks are likely to diverge too, or have died with a finite loss.
        """
        while self._lower < MAX_LOWER:
            lowest = min(self.members, key=lambda one: one.learning_rate)
            lost = [self.judge.key(score) for one in self.members if one.diverged for score in one.scores.values()]
            left = [self._standing.key(one, cut) for one in self.members if not one.diverged]
            if not lowest.diverged or min(lost, default=np.inf) >= min(left, default=np.inf):
                return
            self._lower += 1
            rate = lowest.learning_rate / RATIO
            self.note = f"The lowest candidate led and then diverged, so {rate:.3g} was added."
            self._train([self._new_member(rate)], cut)

    def _finish(self) -> RaceMember:
        """Train the winner to its end; if it diverges there, a lower candidate or the runner-up.

        At last those that were dropped earlier, whose states were not kept: once more, from their start.
        """
        last = max(self.cut_steps)
        while queue := self.alive or sorted(self._waiting(), key=lambda one: -len(one.scores)) or self._revived():
            winner = queue[0]
            winner.dropped = ""
            self.trainer.finish(winner)
            if not winner.diverged:
                return winner
            self._drop_lost(winner)
            self._replace_lost_leader(last)
        raise ValueError("The winner of the race diverged before its end. Check the data, or pass lower `candidates`.")

    def _revived(self) -> list[RaceMember]:
        """Return the best of the candidates whose states were not kept, to be trained from its start; else nothing."""
        first = min(self.cut_steps)
        lost = [one for one in self.members if not one.diverged and np.isfinite(one.scores.get(first, np.nan))]
        if not lost:
            return []
        best = min(lost, key=lambda one: self._standing.key(one, first))
        self.note = f"Those that were better diverged, so {best.learning_rate:.3g} was trained again from its start."
        again = self._new_member(best.learning_rate)
        again.scores |= best.scores
        self.spent_before += best.steps - again.steps
        self.members[self.members.index(best)] = again
        return [again]

    def _waiting(self) -> list[RaceMember]:
        return [member for member in self.members if member.dropped and member.paused is not None]
