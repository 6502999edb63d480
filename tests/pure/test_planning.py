"""What a comparison will be able to tell, checked against scipy and by simulation."""

import numpy as np
import pytest
from scipy import stats

from onecycle.comparison.planning import (
    detectable_effect,
    fewest_seeds_without_interval,
    more_seeds,
    seeds_for_effect,
)
from onecycle.comparison.statistics import PairedTest, paired_test, t_interval
from onecycle.comparison.verdict_sentences import plan_sentence


@pytest.fixture
def draws():
    """A random generator with the same seed for every test."""
    return np.random.default_rng(20261127)


def result(*, seeds=6, mean=0.5, deviation=1.0, arms=1):
    """Return a test result with this mean and deviation, and no verdict."""
    return PairedTest(
        seeds=seeds, arms=arms, low=-1, high=1, mean=mean, deviation=deviation, p=1, probability=0.5
    )  # fmt: skip


@pytest.mark.parametrize("arms", [1, 2, 5])
@pytest.mark.parametrize("seeds", [3, 4, 6, 10, 30])
def test_detectable_effect_has_power(seeds, arms, draws):
    """The effect is found in 80 % of the experiments, by scipy's noncentral t and by simulation."""
    effect = detectable_effect(seeds, arms)
    critical = stats.t.ppf(1 - 0.025 / arms, seeds - 1)
    assert stats.nct.sf(critical, seeds - 1, effect * np.sqrt(seeds)) == pytest.approx(0.8, abs=1e-4)
    _, low, _ = t_interval(draws.normal(effect, 1.0, (10_000, seeds)), arms=arms)
    assert np.mean(low > 0) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("arms", [1, 3])
def test_seeds_for_effect_are_the_fewest(arms):
    """With the returned number the effect is detectable, and with one seed less it is not."""
    for effect in (0.3, 1.0, 2.0):
        seeds = seeds_for_effect(effect, arms)
        assert detectable_effect(seeds, arms) <= effect < detectable_effect(seeds - 1, arms)
    assert seeds_for_effect(1e6, arms) == 3
    assert seeds_for_effect(0.0, arms) is None


def test_fewest_seeds_without_interval():
    """The smallest p value of the sign-flip test, 2 / 2**n, times the number of arms is at most 0.05."""
    assert [fewest_seeds_without_interval(arms) for arms in (1, 2, 3, 4)] == [6, 7, 7, 8]


@pytest.mark.parametrize("arms", [1, 3])
def test_advised_seeds_give_power(arms, draws):
    """With the advised number of seeds, about four of five experiments have a verdict."""
    more = more_seeds(result(arms=arms), margin=None)
    _, low, _ = t_interval(draws.normal(0.5, 1.0, (4000, 6 + more)), arms=arms)
    assert np.mean(low > 0) == pytest.approx(0.8, abs=0.03)


def test_advised_seeds_give_power_for_equivalence(draws):
    """The same holds for equivalence, if there is no difference and a margin is given."""
    n = 6 + more_seeds(result(mean=0.0), margin=0.5)
    _, low, high = t_interval(draws.normal(0.0, 1.0, (4000, n)))
    assert np.mean((low > -0.5) & (high < 0.5)) == pytest.approx(0.8, abs=0.04)


def test_no_advice_of_more_than_a_thousand_seeds():
    """Without a margin, no number of seeds gives a verdict on a difference of zero."""
    assert more_seeds(paired_test([1.0, -1.0, 1.0, -1.0, 0.5, -0.5]), margin=None) is None
    assert more_seeds(paired_test([0.0, 0.0, 0.0]), margin=None) is None


def test_advice_with_too_few_seeds():
    """A verdict needs three seeds, or those of the sign-flip test where runs have no value."""
    assert more_seeds(paired_test([1.0]), margin=None) == 2
    assert more_seeds(paired_test([1.0, 1.0]), margin=None) == 1
    assert more_seeds(paired_test([np.inf] * 3, arms=2), margin=None) == 4
    assert more_seeds(paired_test([1.0] * 4, missing=True), margin=None) == 2


def test_plan_names_what_the_seeds_can_show():
    """The sentence has the numbers of seeds and arms, the effect that is found, and the seeds for half of it."""
    assert plan_sentence(6, 2) == (
        "6 seeds and 2 arms beside the baseline: a mean difference of 1.7 standard deviations over seeds is found in "
        "4 of 5 cases, one of 0.85 with 16 `seeds` (--seeds). A verdict on runs that diverge needs 7."
    )
    assert "diverge" not in plan_sentence(7, 2)
    assert plan_sentence(7, 1).startswith("7 seeds and 1 arm beside the baseline: ")
    assert "--seeds" not in plan_sentence(900, 1)


@pytest.mark.parametrize("seeds", [1, 2])
def test_plan_asks_for_seeds_where_no_verdict_is_possible(seeds):
    """The sentence says how many seeds a verdict needs."""
    sentence = plan_sentence(seeds, 2)
    assert "no verdict and no interval" in sentence
    assert "With at least 3 `seeds` (--seeds), a mean difference of 4.6 standard deviations" in sentence
