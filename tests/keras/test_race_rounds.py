"""The rounds of a race, with candidates whose fate is given."""

import math

import pytest

from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_rounds import Rounds

TOTAL = 100
CUTS = {0.4: 40, 0.7: 70}


class Trainer:
    """Trains nothing: a candidate diverges at the step that `ends` gives for its peak."""

    def __init__(self, ends, scores):
        self.ends, self.scores, self.fits, self.trained = ends, scores, self, []

    def new_member(self, learning_rate):
        """Return a new candidate."""
        return RaceMember(learning_rate, None, None)

    def train(self, members, cut, step):
        """Stand for trainings up to a cut."""
        for member in members:
            self._train(member, step)
            if not member.diverged:
                member.scores[cut] = self.scores.get(round(member.learning_rate, 6), 9.0)
            yield member

    def finish(self, winner):
        """Stand for the last part of a training."""
        self._train(winner, TOTAL)

    def _train(self, member, until):
        end = next((end for peak, end in self.ends.items() if math.isclose(peak, member.learning_rate)), TOTAL + 1)
        member.steps = min(until, end)
        member.curve = [(member.steps, math.nan if end <= until else 1.0)]
        member.paused = object()
        self.trained.append((member.learning_rate, member.steps))


class Judge:
    """A lower score is better."""

    monitor = "loss"

    def key(self, score):
        """Return the score itself."""
        return score if math.isfinite(score) else math.inf


def raced(ends, scores, peaks=(1.0, 2.5, 6.25)):
    """Return the winner of a race, and its rounds. The score of a peak without one is 9."""
    rounds = Rounds(Trainer(ends, scores), Judge(), CUTS, TOTAL, budget=225, spent_before=0)
    return rounds.run(peaks), rounds


@pytest.mark.parametrize("end", [60, 90])
def test_lower_candidate_replaces_a_leader_that_diverged(end):
    """Not one with a higher peak whose network has died: between the cuts, or after the last one."""
    winner, rounds = raced({1.0: end}, {1.0: 2.0, 0.4: 1.5})
    assert winner.learning_rate == pytest.approx(0.4)
    assert winner.steps == TOTAL
    assert rounds.note == "The lowest candidate led and then diverged, so 0.4 was added."


def test_candidates_go_down_until_one_does_not_diverge():
    """Also where an added one diverges before it was judged."""
    winner, rounds = raced({1.0: 60, 0.4: 10, 0.16: 65}, {1.0: 2.0, 0.064: 1.5})
    assert winner.learning_rate == pytest.approx(0.064)
    assert [member.diverged for member in rounds.members] == [True, False, False, True, True, False]


def test_number_of_lower_candidates_is_limited():
    """Then the best of those that are left wins."""
    ends = {1.0 / 2.5**k: 60 for k in range(9)}
    winner, rounds = raced(ends, {1.0: 2.0, 2.5: 8.0})
    assert winner.learning_rate == 2.5
    assert len(rounds.members) == 3 + 4


def test_higher_candidate_that_is_better_stays_the_winner():
    """A divergence of the lowest one changes nothing then."""
    winner, rounds = raced({1.0: 60}, {1.0: 2.0, 2.5: 1.0})
    assert winner.learning_rate == 2.5
    assert len(rounds.members) == 3
    assert rounds.note == ""


def test_error_if_all_diverge_near_the_end():
    """The runner-up and the lower ones too."""
    with pytest.raises(ValueError, match="diverged before its end"):
        raced(dict.fromkeys((1.0, 2.5, 6.25, *(1.0 / 2.5**k for k in range(1, 9))), 95), {1.0: 2.0})
