"""The pick from the scores of short runs: its rate, its interval, and when there is none."""

import numpy as np
import pytest

from onecycle.suggestions import sweep_pick
from onecycle.suggestions.sweep_pick import best_at_end, pick, search_center

NAN, INF = np.nan, np.inf
RATES = 10.0 ** np.arange(-4, 1)
VALLEY = [5.0, 2.0, 1.0, 2.0, 5.0]  # best at 0.01
CLIFF = [1.4, 1.2, 1.0, NAN, NAN]
EQUAL = [1.001, 1.0, 1.001, 1.002, 1.001]


def picked(rates, scores, steps=100, initial_score=10.0, **constants):
    """Return the pick from runs of one length, or of the lengths given."""
    lengths = np.full(len(rates), steps) if np.isscalar(steps) else steps
    return pick(rates, scores, lengths, initial_score=initial_score, **constants)


def oracle(rates, scores, spread):
    """Return the pick by brute force: many draws of a normal deviate, every rate tried, interpolated scores."""
    best = np.nanmin(scores)
    regrets = np.where(
        np.isfinite(scores), np.minimum(np.asarray(scores) / best - 1, sweep_pick.WORST), sweep_pick.WORST
    )
    places = np.log(rates)
    grid = np.linspace(places[0], places[-1], 300)
    deviates = np.random.default_rng(0).standard_normal(40_000)
    deviates = spread * deviates[np.abs(deviates) < sweep_pick.DEVIATIONS]
    slope = max((regrets[0] - regrets[1]) / (places[1] - places[0]), sweep_pick.MIN_SLOPE)
    means = []
    for candidate in grid:
        moved = candidate + deviates
        between = np.interp(moved, places, regrets)
        left = np.minimum(regrets[0] + slope * (places[0] - moved), sweep_pick.WORST)
        means.append(np.where(moved > places[-1], sweep_pick.WORST, np.where(moved < places[0], left, between)).mean())
    return float(np.exp(grid[int(np.argmin(means))]))


@pytest.mark.parametrize("scores", [VALLEY, CLIFF, [3.0, 2.0, 1.2, 1.0, NAN], [1.0, 1.01, 1.02, 1.5, 9.0]])
@pytest.mark.parametrize("spread", [0.3, 0.8])
def test_pick_minimises_expected_regret(scores, spread):
    """The pick is the rate that brute force finds, if the best rate deviates normally from where it was measured."""
    assert picked(RATES, scores, spread=spread).learning_rate == pytest.approx(oracle(RATES, scores, spread), rel=0.08)


def test_pick_in_symmetric_valley_is_its_middle():
    """Neither side is better to err on."""
    assert picked(RATES, VALLEY).learning_rate == pytest.approx(0.01, rel=0.02)


def test_pick_beside_cliff_is_low():
    """Too high costs more than too low, so the pick lies below the best run, and the lower the larger the spread."""
    rates = [picked(RATES, CLIFF, spread=spread).learning_rate for spread in (0.1, 0.5, 1.0)]
    assert 0.01 > rates[0] > rates[1] > rates[2] > 0.0005


def test_interval_is_wide_where_rate_hardly_matters():
    """The interval spans decades in a flat valley, and less than one in a steep valley."""
    flat, steep = (picked(RATES, scores).interval for scores in ([1.3, 1.01, 1.0, 1.01, 1.3], VALLEY))
    assert flat[1] / flat[0] > 30
    assert steep[1] / steep[0] < 10


@pytest.mark.parametrize("change", [lambda s: 100 * s, lambda s: s[::-1]], ids=["units", "order"])
def test_units_and_order_have_no_effect(change):
    """Scores in other units, and runs in another order, give the same rate."""
    scores = np.array(CLIFF)
    rates = RATES if change(scores)[0] > 50 else RATES[::-1]
    changed = picked(rates, change(scores), initial_score=1000.0).learning_rate
    assert changed == pytest.approx(picked(RATES, scores, initial_score=1000.0).learning_rate)


def test_scores_may_be_negative():
    """The best of negative losses, such as log likelihoods, is the lowest."""
    result = picked(RATES, np.array(VALLEY) - 20.0, initial_score=0.0)
    assert result.learning_rate == pytest.approx(0.01, rel=0.3)


def test_shorter_runs_continue_the_curve_of_the_longest():
    """A shorter run is never the best, but its cliff counts at rates that the longest runs did not try."""
    rates = np.array([0.001, 0.01, 0.1, 1.0, 0.02, 0.04])
    scores = np.array([0.5, 0.1, 0.05, NAN, 3.0, 2.0])  # on other data, a shorter run may have a lower score
    steps = np.array([50, 50, 50, 50, 200, 200])
    result = picked(rates, scores, steps)
    assert result.seen_at == 0.04
    assert 0.02 <= result.learning_rate < 0.1
    assert result.at_end is None


@pytest.mark.parametrize(
    ("scores", "end"), [([1, 2, 3, 4, 5], "lowest"), ([5, 4, 3, 2, 1], "highest"), (VALLEY, None), (CLIFF, None)]
)
def test_best_run_at_an_end_is_reported(scores, end):
    """A better rate may lie outside, which the pick and its reason say."""
    result = picked(RATES, scores)
    assert result.at_end == end
    assert ("may lie outside" in result.reason) == (end is not None)
    assert best_at_end(RATES, scores) == end


@pytest.mark.parametrize(
    ("scores", "initial", "steps", "reason"),
    [
        ([NAN] * 5, 1.0, 100, "Every run diverged"),
        ([INF] * 5, NAN, 100, "Every run diverged"),
        ([2.0] * 5, 1.0, 100, "same held-out loss"),
        (VALLEY, 0.5, 100, "No rate made the held-out loss lower"),
        (VALLEY, 1.0, 100, "No rate made the held-out loss lower"),
        ([1.0, 2.0, 3.0, NAN, NAN], 9.0, [10, 10, 10, 99, 99], "longest runs diverged"),
    ],
)
def test_scores_without_evidence_give_no_rate(scores, initial, steps, reason):
    """Where all runs diverged, none learned, or the rate has no effect, the pick is None with a reason."""
    result = picked(RATES, scores, steps, initial_score=initial)
    assert (result.learning_rate, result.interval) == (None, None)
    assert reason in result.reason


def test_unknown_initial_score_does_not_prevent_a_pick():
    """Where the loss before training is NaN, the runs are not compared with it."""
    assert picked(RATES, VALLEY, initial_score=NAN).learning_rate is not None


def test_search_center():
    """Longer runs are made around the pick, or around the lowest rate where all runs diverged."""
    assert search_center(RATES, VALLEY) == pytest.approx(0.01, rel=0.02)
    assert search_center(RATES, [NAN] * 5) == RATES[0]
    assert best_at_end(RATES, [NAN] * 5) == "lowest"


def test_range_test_decides_between_equal_scores():
    """Equal scores leave the choice to the range test's suggestion; clear scores outweigh it."""
    clear = [9.0, 1.0, 9.0, 9.0, NAN]
    assert picked(RATES, EQUAL, suggested=0.1).learning_rate == pytest.approx(0.1, rel=0.3)
    assert picked(RATES, EQUAL, suggested=0.01).learning_rate == pytest.approx(0.01, rel=0.3)
    assert 0.0005 < picked(RATES, clear, suggested=0.1, spread=0.3).learning_rate < 0.01
    assert search_center(RATES, EQUAL, suggested=0.1) == pytest.approx(0.1, rel=0.3)


def test_single_rate_is_picked():
    """A single run has no curve, so its rate is the pick."""
    assert picked([0.1], [1.0]).learning_rate == pytest.approx(0.1)
