"""Whether any candidate of a race has learned something until the first cut, and if not, where others may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onecycle.finding.race_data import Judge
from onecycle.finding.race_member import RaceMember

LEAST_FALL = 0.1  # part of the training loss by which one that falls has fallen
LEAST_GAIN = 0.02  # part of the loss of guessing, or of the score at the start, by which one that learns is better
LEAST_POINTS = 3  # of the curve of the training loss, 20 steps each, to say whether it falls
LEAST_MOVE = 0.001  # part of the score at the start; a network whose rate is much too low moves less


@dataclass(frozen=True)
class Baseline:
    """What a candidate that learns something is better than.

    Attributes:
        judge: Knows which score is better.
        guessing: The training loss of a model that predicts a constant; 0 where it is not known.
        start_score: Returns the score of the model before its training.
    """

    judge: Judge
    guessing: float
    start_score: Callable[[], float]

    def missing_side(self, members: Sequence[RaceMember], cut: float) -> int:
        """Return 1 if all candidates are too low to learn anything, -1 if they are too high, and 0 if one has learned.

        A network that has died stays at one loss, as one does that hardly moves: that of guessing, or above it.

        Args:
            members: All candidates, at the first cut, of which not all have diverged.
            cut: The cut.
        """
        alive = [member for member in members if not member.dropped]
        if any(self._is_better_than_guessing(member) and _loss_fell(member) for member in alive):
            return 0
        are_stuck = all(self._is_stuck(member) for member in alive)
        # Only now, since it costs an evaluation.
        score = self.start_score()
        start, least = self.judge.key(score), LEAST_GAIN * abs(score)
        best = min(alive, key=lambda one: self.judge.key(one.scores[cut]))
        reached = self.judge.key(best.scores[cut])
        if not are_stuck and reached < start - least:
            return 0
        if len(alive) < len(members) or reached >= start + least:
            return -1
        is_highest = best is max(alive, key=lambda one: one.learning_rate)
        hardly_moved = all(abs(one.scores[cut] - score) <= LEAST_MOVE * abs(score) for one in alive)
        return 1 if is_highest or hardly_moved else -1

    def _is_better_than_guessing(self, member: RaceMember) -> bool:
        """Return whether the training loss of a candidate is below that of guessing, as far as that is known."""
        return not self.guessing or member.curve[-1][1] < (1 - LEAST_GAIN) * self.guessing

    def _is_stuck(self, member: RaceMember) -> bool:
        """Return whether the training loss of a candidate stays at that of guessing, or above it."""
        losses = [loss for _, loss in member.curve]
        if len(losses) < LEAST_POINTS:
            return False
        falls = losses[-1] < (1 - LEAST_FALL) * losses[len(losses) // 2]
        return self.guessing > 0 and not self._is_better_than_guessing(member) and not falls


def _loss_fell(member: RaceMember) -> bool:
    """Return whether the training loss of a candidate has fallen since its first steps."""
    first, last = member.curve[0][1], member.curve[-1][1]
    return last < first - LEAST_FALL * abs(first)
