"""The epochs that whole cycles save, on comparisons made by hand."""

import math

import numpy as np
import pytest
from oracles.records import run
from scipy import stats

from onecycle.comparison.article.savings import savings
from onecycle.comparison.comparing import concluded

CYCLES = ("cycle 2", "cycle 4", "cycle 8")


def comparison(ends, finder_steps=0, lost=()):
    """A constant arm that is best (0.8) at epoch 8 of 10, and cycles of 2, 4 and 8 epochs that end at `ends`.

    Args:
        ends: For each seed the three values.
        finder_steps: Of each cycle.
        lost: The runs that diverged, as (arm, seed); their metric is as good as ever.
    """
    plain = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.75, 0.7]
    records = []
    for seed, values in enumerate(ends):
        records.append(run("plain", seed, plain, diverged=10 if ("plain", seed) in lost else None))
        for arm, end in zip(CYCLES, values, strict=True):
            # In its middle each cycle is better than it ends: that must not count.
            length = int(arm.split()[1])
            diverged = length if (arm, seed) in lost else None
            records.append(run(arm, seed, [0.9] * (length - 1) + [end], finder_steps, diverged))
    return concluded(records, ("plain", *CYCLES), tuple(range(len(ends))), metric="val_accuracy")


def test_the_shortest_cycle_that_ends_at_the_target_counts():
    """Not a longer one, nor one that was there in its middle only; equal is reached."""
    found = savings(comparison([(0.7, 0.8, 0.9), (0.79, 0.7, 0.85), (0.9, 0.7, 0.7)]), "plain", CYCLES)

    assert found.targets == (0.8, 0.8, 0.8)
    assert found.own == (8.0, 8.0, 8.0)
    assert found.cycles == (4.0, 8.0, 2.0)


def test_the_finder_is_counted():
    """Its steps are epochs too."""
    found = savings(comparison([(0.7, 0.8, 0.9)], finder_steps=25), "plain", CYCLES)

    assert found.cycles == (6.5,)


def test_ratio_and_interval():
    """The geometric mean with Student's interval on the logarithms."""
    found = savings(comparison([(0.7, 0.8, 0.9), (0.7, 0.7, 0.85), (0.9, 0.7, 0.7)]), "plain", CYCLES)
    logs = np.log([8 / 4, 8 / 8, 8 / 2])
    expected = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)

    assert found.ratio() == pytest.approx((np.exp(logs.mean()), np.exp(expected.low), np.exp(expected.high)))
    assert "2 times fewer (95 % interval" in found.summary()


@pytest.mark.parametrize("seeds", [1, 3])
def test_seeds_that_are_all_alike_have_no_interval(seeds):
    """Nor has one. Of the lengths tried they all need the same: that does not make the ratio exact."""
    middle, low, high = savings(comparison([(0.7, 0.8, 0.9)] * seeds), "plain", CYCLES).ratio()

    assert middle == pytest.approx(2.0)
    assert math.isnan(low)
    assert math.isnan(high)


def test_a_cycle_that_takes_longer_saves_nothing():
    """The sentence says more, not 0.57 times fewer; the ratio is what it was."""
    found = savings(comparison([(0.7, 0.8, 0.9)], finder_steps=100), "plain", CYCLES)

    assert found.ratio()[0] == pytest.approx(8 / 14)
    assert "14: 1.8 times more" in found.summary()
    assert found.facts()["times_fewer"] == {"mean": pytest.approx(8 / 14), "low": None, "high": None}


def test_a_target_that_no_cycle_reaches_gives_no_ratio():
    """The factor is not known then, and is not made up of the other seeds."""
    found = savings(comparison([(0.7, 0.8, 0.9), (0.1, 0.1, 0.1)]), "plain", CYCLES)

    assert found.cycles == (4.0, math.inf)
    assert found.reached == 1
    assert all(map(math.isnan, found.ratio()))
    assert "1 of 2 seeds" in found.summary()
    assert "times fewer" not in found.summary()


def test_a_reference_that_diverged_sets_no_target():
    """Its best is from before it was lost and easily met: that is no saving, and the sentence says so."""
    found = savings(comparison([(0.7, 0.8, 0.9), (0.9, 0.9, 0.9)], lost={("plain", 1)}), "plain", CYCLES)

    np.testing.assert_array_equal(found.targets, (0.8, math.nan))
    np.testing.assert_array_equal(found.cycles, (4.0, math.nan))
    assert (found.reached, found.with_target) == (1, 1)
    assert found.ratio()[0] == pytest.approx(2.0)
    assert "its best took 8 epochs (median)" in found.summary()
    assert "reached with 1 of 1 seeds; it diverged with 1 of 2." in found.summary()


def test_a_reference_that_always_diverged_gives_no_ratio():
    """There is nothing to be reached."""
    found = savings(comparison([(0.9, 0.9, 0.9)], lost={("plain", 0)}), "plain", CYCLES)

    assert all(map(math.isnan, found.ratio()))
    assert found.summary() == "plain: it diverged with every seed, so that there is no best to reach."


def test_a_cycle_that_diverged_ends_at_no_target():
    """Whatever its metric was, the next longer one counts."""
    found = savings(comparison([(0.9, 0.9, 0.9)], lost={("cycle 2", 0)}), "plain", CYCLES)

    assert found.cycles == (4.0,)
