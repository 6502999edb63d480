"""The epochs that cycles save, on comparisons made by hand."""

import math

import numpy as np
import pytest
from oracles.records import run
from scipy import stats

from onecycle.comparison.article.savings import epoch_savings
from onecycle.comparison.evaluation import comparison_from_records

CYCLES = ("cycle 2", "cycle 4", "cycle 8")


def savings(ends, finder_steps=0, diverged=()):
    """Return the savings of cycles of 2, 4 and 8 epochs compared with a constant arm, best (0.8) at epoch 8 of 10.

    Args:
        ends: For each seed the three values at which the cycles end.
        finder_steps: Steps of the finder of each cycle.
        diverged: The runs that diverged, as (arm, seed). Their metric is as good as without that.
    """
    plain = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.75, 0.7]
    records = []
    for seed, values in enumerate(ends):
        records.append(run("plain", seed, plain, diverged=10 if ("plain", seed) in diverged else None))
        for arm, end in zip(CYCLES, values, strict=True):
            # Before its end each cycle is better than at its end, which must not count.
            length = int(arm.split()[1])
            end_of_run = length if (arm, seed) in diverged else None
            records.append(run(arm, seed, [0.9] * (length - 1) + [end], finder_steps, end_of_run))
    arms, seeds = ("plain", *CYCLES), tuple(range(len(ends)))
    return epoch_savings(comparison_from_records(records, arms, seeds, metric="val_accuracy"), "plain", CYCLES)


def test_shortest_cycle_that_ends_at_target_counts():
    """A longer cycle does not count, nor one that was at the target only before its end. Equal values reach it."""
    result = savings([(0.7, 0.8, 0.9), (0.79, 0.7, 0.85), (0.9, 0.7, 0.7)])

    assert result.targets == (0.8, 0.8, 0.8)
    assert result.reference_epochs == (8.0, 8.0, 8.0)
    assert result.cycle_epochs == (4.0, 8.0, 2.0)


def test_steps_of_finder_are_counted():
    """The steps of the finder count as epochs of the cycle."""
    result = savings([(0.7, 0.8, 0.9)], finder_steps=25)

    assert result.cycle_epochs == (6.5,)


def test_ratio_and_interval():
    """The ratio is the geometric mean, with Student's interval of the logarithms."""
    result = savings([(0.7, 0.8, 0.9), (0.7, 0.7, 0.85), (0.9, 0.7, 0.7)])
    logs = np.log([8 / 4, 8 / 8, 8 / 2])
    expected = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)

    assert result.ratio() == pytest.approx((np.exp(logs.mean()), np.exp(expected.low), np.exp(expected.high)))
    assert "2 times fewer (95 % interval" in result.summary()


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_ratios_have_no_interval(seeds):
    """One seed has no interval, and neither have seeds that all need the same of the few lengths tried."""
    mean, low, high = savings([(0.7, 0.8, 0.9)] * seeds).ratio()

    assert mean == pytest.approx(2.0)
    assert math.isnan(low)
    assert math.isnan(high)


def test_cycle_that_takes_longer():
    """The sentence says 1.8 times more, not 0.57 times fewer."""
    result = savings([(0.7, 0.8, 0.9)], finder_steps=100)

    assert result.ratio()[0] == pytest.approx(8 / 14)
    assert "takes 14 epochs (median), 1.8 times more" in result.summary()
    assert result.facts()["times_fewer"] == {"mean": pytest.approx(8 / 14), "low": None, "high": None}


def test_target_that_no_cycle_reaches_gives_no_ratio():
    """If some target is not reached, the ratio is unknown and is not computed from the other seeds."""
    result = savings([(0.7, 0.8, 0.9), (0.1, 0.1, 0.1)])

    assert result.cycle_epochs == (4.0, math.inf)
    assert result.reached == 1
    assert all(map(math.isnan, result.ratio()))
    assert "1 of 2 seeds" in result.summary()
    assert "times fewer" not in result.summary()


def test_diverged_reference_sets_no_target():
    """The best value before the reference diverged would be easy to reach, so it counts for nothing."""
    result = savings([(0.7, 0.8, 0.9), (0.9, 0.9, 0.9)], diverged={("plain", 1)})

    np.testing.assert_array_equal(result.targets, (0.8, math.nan))
    np.testing.assert_array_equal(result.cycle_epochs, (4.0, math.nan))
    assert (result.reached, result.with_target) == (1, 1)
    assert result.ratio()[0] == pytest.approx(2.0)
    assert "plain reached its best value after 8 epochs (median)" in result.summary()
    assert result.summary().endswith("with 1 of 1 seeds. plain diverged with 1 of 2 seeds.")


def test_reference_that_always_diverged_gives_no_ratio():
    """Without any target there is no ratio, and the sentence says why."""
    result = savings([(0.9, 0.9, 0.9)], diverged={("plain", 0)})

    assert all(map(math.isnan, result.ratio()))
    assert result.summary() == "plain diverged with every seed, so there is no best value to reach."


def test_diverged_cycle_ends_at_no_target():
    """A cycle that diverged does not count, whatever its metric was, and the next longer one does."""
    result = savings([(0.9, 0.9, 0.9)], diverged={("cycle 2", 0)})

    assert result.cycle_epochs == (4.0,)
