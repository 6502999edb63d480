"""The rounds of a race, with candidates whose fate is given."""

import math

import pytest

from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_rounds import Rounds, planned_steps
from onecycle.finding.race_standing import TREND_FROM

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


class TrendTrainer(Trainer):
    """Candidates whose score is 1 at the trend's step; `scores` has that at the cut."""

    def train(self, members, cut, step):
        """Stand for trainings up to a cut."""
        for member in super().train(members, cut, step):
            member.scores[TREND_FROM] = 1.0
            yield member


def raced_to(scores, peaks, budget, trainer=Trainer, trend_step=0):
    """Return the rounds of a race with cuts at 20 and 60 of 100 steps, in which none diverges."""
    made = trainer({}, scores)
    rounds = Rounds(made, Judge(), {0.2: 20, 0.6: 60}, TOTAL, budget, spent_before=0, trend_step=trend_step)
    rounds.run(peaks)
    return rounds


def test_trend_decides_at_the_first_cut():
    """Scores of 1 at 10 % and 0.9, 0.8, 0.7 at 20 % head for 0.5, 0, -0.5 at 60 %, and the reason gives them."""
    scores = {1.0: 0.9, 6.25: 0.8, 39.0625: 0.7}
    rounds = raced_to(scores, tuple(scores), 0, TrendTrainer, trend_step=10)
    lost = next(one for one in rounds.members if one.learning_rate == 1.0)
    assert lost.dropped == (
        "Dropped at 20 %: val_loss 0.9 (1 at 10 %), where the best by its trend had 0.7 (1 at 10 %)."
    )


@pytest.mark.parametrize(
    ("scores", "earlier"),
    [
        ({1.0: 2.0, 6.25: 1.0, 39.0625: 1.1}, {1.0: 3.0, 6.25: 1.0, 39.0625: 1.1}),  # from 3 to 2 heads for -2
        ({1.0: 20.0, 6.25: 10.0, 39.0625: 12.0}, {1.0: 90.0, 6.25: 10.0, 39.0625: 13.0}),  # and from 90 to 20 for -260
    ],
)
def test_best_trend_and_lowest_score_go_on(scores, earlier):
    """The first candidate has the worst score and the best trend, and the second the lowest score without a trend."""
    made = Trainer({}, scores)
    rounds = Rounds(made, Judge(), {0.2: 20, 0.6: 60}, TOTAL, 0, spent_before=0, trend_step=10)
    train = made.train

    def with_trend(members, cut, step):
        for member in train(members, cut, step):
            member.scores[TREND_FROM] = earlier[member.learning_rate]
            yield member

    made.train = with_trend
    rounds.run(tuple(scores))
    assert [one.dropped.startswith("Dropped at 20 %") for one in rounds.members] == [False, False, True]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({0.16: 3, 1.0: 2, 6.25: 1, 15.625: 0.5, 39.0625: 0.7}, [15.625, 39.0625]),  # beyond the end, again and again
        ({0.16: 3, 1.0: 1, 6.25: 2, 2.5: 0.5}, [2.5]),  # the side of the better neighbor; then none is missing
        ({0.16: 2, 1.0: 1, 6.25: 3, 0.4: 1.5, 2.5: 2.5}, [0.4, 2.5]),  # then the other side
    ],
)
def test_candidates_are_added_next_to_the_best(scores, expected):
    """They are 2.5 times as high or low as it, where there is none."""
    rounds = raced_to(scores, (0.16, 1.0, 6.25), 220)
    assert [one.learning_rate for one in rounds.members[3:]] == pytest.approx(expected)
    assert rounds.steps_spent <= 220


@pytest.mark.parametrize(("budget", "added"), [(0, 0), (199, 0), (200, 1), (219, 1), (220, 2)])
def test_budget_limits_what_is_added(budget, added):
    """Three candidates take 180 steps, and each one more 20."""
    scores = {0.16: 9, 1.0: 8, 6.25: 7, 15.625: 6, 39.0625: 5}
    rounds = raced_to(scores, (0.16, 1.0, 6.25), budget)
    assert len(rounds.members) == 3 + added
    assert rounds.steps_spent == 180 + 20 * added == planned_steps(3 + added, {0.2: 20, 0.6: 60}, TOTAL)
    assert rounds.note.endswith("The highest candidate led at the first cut, and the budget allowed no further one.")
