"""Which rate the scores of short runs point at: the numbers, the side it errs to, and when there is none."""

import numpy as np
import pytest

from onecycle.suggestions import sweep_pick
from onecycle.suggestions.sweep_pick import pick

NAN, INF = np.nan, np.inf
RATES = 10.0 ** np.arange(-4, 1)
VALLEY = [5.0, 2.0, 1.0, 2.0, 5.0]  # best at 0.01
CLIFF = [1.4, 1.2, 1.0, NAN, NAN]


def picked(rates, scores, steps=100, initial_score=10.0, **constants):
    """The pick from runs of one length, or of the lengths given."""
    lengths = np.full(len(rates), steps) if np.isscalar(steps) else steps
    return pick(rates, scores, lengths, initial_score=initial_score, **constants)


def oracle(rates, scores, spread):
    """The pick by brute force: a normal deviate drawn many times, every place tried, straight lines between scores."""
    best = np.nanmin(scores)
    regrets = np.where(
        np.isfinite(scores), np.minimum(np.asarray(scores) / best - 1, sweep_pick.WORST), sweep_pick.WORST
    )
    places = np.log(rates)
    grid = np.linspace(places[0], places[-1], 300)
    deviates = np.random.default_rng(0).standard_normal(40_000)
    deviates = spread * deviates[np.abs(deviates) < sweep_pick.DEVIATIONS]
    slope = max((regrets[0] - regrets[1]) / (places[1] - places[0]), sweep_pick.LEAST_SLOPE)
    means = []
    for at in grid:
        moved = at + deviates
        between = np.interp(moved, places, regrets)
        left = np.minimum(regrets[0] + slope * (places[0] - moved), sweep_pick.WORST)
        means.append(np.where(moved > places[-1], sweep_pick.WORST, np.where(moved < places[0], left, between)).mean())
    return float(np.exp(grid[int(np.argmin(means))]))


@pytest.mark.parametrize("scores", [VALLEY, CLIFF, [3.0, 2.0, 1.2, 1.0, NAN], [1.0, 1.01, 1.02, 1.5, 9.0]])
@pytest.mark.parametrize("spread", [0.3, 0.8])
def test_the_pick_minimises_the_mean_regret(scores, spread):
    """It is the place that brute force finds best, if the best rate lies a normal deviate from where it was seen."""
    found = picked(RATES, scores, spread=spread).learning_rate
    assert found == pytest.approx(oracle(RATES, scores, spread), rel=0.08)


def test_a_valley_alike_on_both_sides_is_picked_in_its_middle():
    """Nothing is gained by erring to either side."""
    assert picked(RATES, VALLEY).learning_rate == pytest.approx(0.01, rel=0.02)


def test_beside_a_cliff_the_pick_is_low():
    """Too high costs more than too low: below the best run, and further the less certain its place is."""
    found = [picked(RATES, CLIFF, spread=spread).learning_rate for spread in (0.1, 0.5, 1.0)]
    assert 0.01 > found[0] > found[1] > found[2] > 0.0005


def test_the_interval_is_wide_where_the_rate_does_not_matter():
    """On a flat valley it spans decades, on a steep one less than one."""
    flat, steep = (picked(RATES, scores).interval for scores in ([1.3, 1.01, 1.0, 1.01, 1.3], VALLEY))
    assert flat[1] / flat[0] > 30
    assert steep[1] / steep[0] < 10


@pytest.mark.parametrize("change", [lambda s: 100 * s, lambda s: s[::-1]], ids=["units", "order"])
def test_units_and_order_do_not_count(change):
    """Scores in other units give the same rate, and so do runs listed in another order."""
    scores = np.array(CLIFF)
    rates = RATES if change(scores)[0] > 50 else RATES[::-1]
    initial = 1000.0
    found = picked(rates, change(scores), initial_score=initial).learning_rate
    assert found == pytest.approx(picked(RATES, scores, initial_score=initial).learning_rate)


def test_negative_losses_are_losses():
    """A log likelihood may be below zero: the best is the lowest still."""
    found = picked(RATES, np.array(VALLEY) - 20.0, initial_score=0.0)
    assert found.learning_rate == pytest.approx(0.01, rel=0.3)


def test_the_longest_runs_count_and_shorter_ones_go_on_beyond_them():
    """The best of the short runs is no rival of the long ones', but its cliff is believed where they were not tried."""
    rates = np.array([0.001, 0.01, 0.1, 1.0, 0.02, 0.04])
    scores = np.array([0.5, 0.1, 0.05, NAN, 3.0, 2.0])  # a shorter run may have scored lower on other data
    steps = np.array([50, 50, 50, 50, 200, 200])
    found = picked(rates, scores, steps)
    assert found.seen_at == 0.04
    assert 0.02 <= found.learning_rate < 0.1
    assert found.at_end is None


@pytest.mark.parametrize(
    ("scores", "end"), [([1, 2, 3, 4, 5], "lowest"), ([5, 4, 3, 2, 1], "highest"), (VALLEY, None), (CLIFF, None)]
)
def test_a_best_run_at_an_end_is_told(scores, end):
    """A better rate may lie outside, and the reason says so."""
    found = picked(RATES, scores)
    assert found.at_end == end
    assert ("may lie outside" in found.reason) == (end is not None)
    assert sweep_pick.end_of_best(RATES, scores) == end


@pytest.mark.parametrize(
    ("scores", "initial", "steps", "told"),
    [
        ([NAN] * 5, 1.0, 100, "Every run diverged"),
        ([INF] * 5, NAN, 100, "Every run diverged"),
        ([2.0] * 5, 1.0, 100, "same held-out loss"),
        (VALLEY, 0.5, 100, "No rate made the held-out loss lower"),
        (VALLEY, 1.0, 100, "No rate made the held-out loss lower"),
        ([1.0, 2.0, 3.0, NAN, NAN], 9.0, [10, 10, 10, 99, 99], "longest diverged"),
    ],
)
def test_without_evidence_there_is_no_number(scores, initial, steps, told):
    """Where all diverge, none learns, or the rate does not matter: None, and a sentence why."""
    found = picked(RATES, scores, steps, initial_score=initial)
    assert (found.learning_rate, found.interval) == (None, None)
    assert told in found.reason


def test_an_unknown_start_keeps_no_pick_back():
    """Where the loss before training is NaN, nothing can be said against the runs."""
    assert picked(RATES, VALLEY, initial_score=NAN).learning_rate is not None


def test_where_to_look_with_longer_runs():
    """Around the pick; from the lowest rate where all diverged."""
    assert sweep_pick.centre(RATES, VALLEY) == pytest.approx(0.01, rel=0.02)
    assert sweep_pick.centre(RATES, [NAN] * 5) == RATES[0]
    assert sweep_pick.end_of_best(RATES, [NAN] * 5) == "lowest"


def test_where_scores_are_alike_the_range_test_decides():
    """Short runs that have hardly begun to learn say nothing: then what is suggested; clear ones outweigh it."""
    alike = [1.001, 1.0, 1.001, 1.002, 1.001]
    assert picked(RATES, alike, suggested=0.1).learning_rate == pytest.approx(0.1, rel=0.3)
    assert picked(RATES, alike, suggested=0.01).learning_rate == pytest.approx(0.01, rel=0.3)
    clear = [9.0, 1.0, 9.0, 9.0, NAN]
    assert 0.0005 < picked(RATES, clear, suggested=0.1, spread=0.3).learning_rate < 0.01
    assert sweep_pick.centre(RATES, alike, suggested=0.1) == pytest.approx(0.1, rel=0.3)


def test_one_rate_is_picked_if_there_is_but_one():
    """There is no curve, and the rate is as good as any."""
    assert picked([0.1], [1.0]).learning_rate == pytest.approx(0.1)
