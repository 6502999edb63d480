"""The statistics of comparisons, against hand-made tables, against scipy, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from onecycle.comparison import statistics
from onecycle.comparison.censoring import censored_differences, decided_by_loss
from onecycle.comparison.statistics import Paired, decide, holm, more_seeds, paired, sign_flip_p, t_interval

EXPERIMENTS = 4000


@pytest.fixture
def draws():
    """A source of random numbers, the same for every test."""
    return np.random.default_rng(20261123)


def verdict(differences, margin=None):
    """The verdict on one arm alone."""
    found = paired(differences, margin)
    return decide(found, found.p, found.p_same)


def test_the_interval_is_students(draws):
    """Mean and interval are those of scipy's one-sample t test."""
    values = draws.normal(0.3, 1.0, 9)
    found = paired(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5, 6], 2 / 64),  # only all as they are, or all turned, are as far from 0
        ([1, 2, 3, 4, 5], 2 / 32),
        ([1, 1, 1, -1], 10 / 16),  # 1 + 4 of the 16 flips give a sum of at least 2, as many of at most -2
        ([1, -1], 1.0),
        ([0, 0, 0], 1.0),
        ([3], 1.0),
        ([], 1.0),
    ],
)
def test_the_sign_flip_test_counts_all_flips(differences, p):
    """The p value is the share of sign flips at least as far from zero."""
    assert sign_flip_p(differences) == pytest.approx(p)


def test_many_seeds_are_drawn_not_counted(draws):
    """With more seeds than can be counted the p value is near the t test's, never 0, and repeats exactly."""
    values = draws.normal(0.4, 1.0, 30)
    assert sign_flip_p(values) == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, abs=0.01)
    assert sign_flip_p(values) == sign_flip_p(values)
    assert 0 < sign_flip_p(np.arange(1.0, 31.0)) < 0.001


def test_below_six_seeds_nothing_can_be_told():
    """Five seeds that all say the same are no verdict; six are."""
    assert verdict([1.0, 1.1, 0.9, 1.0, 1.2]) == "cannot tell"
    assert verdict([1.0, 1.1, 0.9, 1.0, 1.2, 1.1]) == "better"
    assert verdict([-1.0, -1.1, -0.9, -1.0, -1.2, -1.1]) == "worse"
    assert verdict([0.0] * 5, margin=0.1) == "cannot tell"


def test_equivalence_needs_a_margin_and_goes_first():
    """Differences far inside the margin do not matter, even where they are certain; without a margin they do."""
    tiny = [0.010, 0.011, 0.009, 0.010, 0.012, 0.011]
    assert verdict(tiny, margin=0.1) == "no practical difference"
    assert verdict(tiny) == "better"
    assert verdict([0.0] * 6, margin=0.1) == "no practical difference"
    assert verdict([0.0] * 6) == "cannot tell"
    assert verdict([0.2] * 6, margin=0.1) == "better"


def test_equivalence_is_two_one_sided_t_tests(draws):
    """The p of equivalence is the larger of scipy's two one-sided tests against the margin."""
    values = draws.normal(0.02, 0.1, 10)
    above = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    assert paired(values, margin=0.1).p_same == pytest.approx(max(above, below))


def test_holm_by_hand():
    """The smallest p times their number, the next times one less, never falling, at most 1."""
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.9]), [1.0, 1.0])
    assert holm([]).shape == (0,)


def test_probability_of_improvement_counts_ties_half():
    """Two of four better, one tie: 62.5 %."""
    assert paired([1.0, 2.0, 0.0, -1.0]).probability == 0.625


def test_a_single_seed_has_no_interval():
    """One difference has a mean and nothing else."""
    found = paired([0.5])
    assert (found.mean, found.p) == (0.5, 1.0)
    assert np.isnan([found.low, found.high, found.deviation]).all()


def test_differences_must_be_numbers():
    """Where a run has lost it is said so, with an infinite difference: NaN says nothing."""
    with pytest.raises(ValueError, match="one number a seed"):
        paired([1.0, np.nan])


@pytest.mark.parametrize(("sign", "better"), [(1.0, np.inf), (-1.0, -np.inf)])
def test_a_run_that_has_lost_is_worse_than_any_other(sign, better):
    """By an infinite difference; where both have lost neither is better."""
    arm, baseline = [False, False, True, True], [False, True, False, True]
    found = decided_by_loss([0.5, np.nan, np.nan, np.nan], arm, baseline, sign)
    np.testing.assert_array_equal(found, [0.5, better, -better, 0.0])


def test_signed_ranks_are_tested_as_wilcoxon_does(draws):
    """The exact p is SciPy's, and an infinite difference is as good as any that is larger than the rest."""
    for seeds in (6, 9, 12):
        values = draws.normal(0.6, 1.0, seeds)
        expected = stats.wilcoxon(values, method="exact").pvalue
        assert sign_flip_p(statistics.signed_ranks(values)) == pytest.approx(expected)
        largest = np.argmax(np.abs(values))
        values[largest] *= np.inf
        found = paired(values, margin=100.0)
        assert found.p == pytest.approx(expected)
        assert found.mean == pytest.approx(statistics.signed_ranks(values).mean())
        assert np.isnan([found.low, found.high]).all()
        assert found.p_same == 1.0


def test_losing_every_time_is_certain_with_six_seeds():
    """Six of six infinite differences on one side: the smallest p there is; a tie is no evidence."""
    assert paired([-np.inf] * 6).p == 2 / 2**6
    assert paired([-np.inf] * 3 + [0.0] * 3).p == 2 / 2**3


@pytest.mark.parametrize(
    ("arm", "baseline", "difference"),
    [
        ((3, 10), (5, 10), -2),  # both came there
        ((3, 10), (None, 8), -5),  # the baseline not within its 8: the arm is ahead by 5 at least
        ((9, 10), (None, 8), 0),  # nobody knows who would have been first
        ((None, 10), (4, 8), 6),  # the arm not within its 10: behind by 6 at least
        ((None, 2), (4, 8), 0),  # the arm ended before the baseline came there: never ahead for that
        ((None, 2), (None, 8), 0),
    ],
)
def test_a_censored_time_never_beats_one_that_came_there(arm, baseline, difference):
    """(time or None, length) of arm and baseline: the difference is that known for certain, or a tie."""
    (a, la), (b, lb) = [(np.nan if time is None else time, length) for time, length in (arm, baseline)]
    assert censored_differences([a], [b], [la], [lb]) == [difference]
    assert censored_differences([b], [a], [lb], [la]) == [-difference]


def test_fewest_seeds():
    """Six seeds for one arm, one more for two, by Holm's first step."""
    assert [statistics.fewest_seeds(arms) for arms in (1, 2, 3, 4)] == [6, 7, 7, 8]


def test_the_advice_is_about_right(draws):
    """With as many more seeds as advised, about four of five experiments come to a verdict."""
    found = Paired(seeds=6, mean=0.5, low=0, high=0, deviation=1.0, p=1, p_same=1, probability=0.5)
    more = more_seeds(found, margin=None)
    values = draws.normal(0.5, 1.0, (1000, 6 + more))
    power = np.mean(stats.ttest_1samp(values, 0.0, axis=-1).pvalue <= 0.05)
    assert 0.75 <= power <= 0.87


def test_the_advice_for_equivalence_is_about_right(draws):
    """The same where the arms are alike and a margin is given."""
    found = Paired(seeds=6, mean=0.0, low=0, high=0, deviation=1.0, p=1, p_same=1, probability=0.5)
    n = 6 + more_seeds(found, margin=0.5)
    values = draws.normal(0.0, 1.0, (2000, n))
    room = 0.5 - np.abs(values.mean(-1))
    p = stats.t.cdf(-room / (values.std(-1, ddof=1) / np.sqrt(n)), n - 1)
    assert 0.75 <= np.mean(p <= 0.05) <= 0.87


def test_no_advice_where_it_would_take_a_thousand():
    """A difference of nothing is never settled without a margin."""
    assert more_seeds(paired([1.0, -1.0, 1.0, -1.0, 0.5, -0.5]), margin=None) is None
    assert more_seeds(paired([1.0]), margin=None) == 5


# What runs of neural networks give: even, skewed (a few bad seeds) and in steps (a small test set).
SHAPES = {
    "normal": lambda draws, shape: draws.normal(0.0, 1.0, shape),
    "heavy": lambda draws, shape: draws.standard_t(4, shape),
    "steps": lambda draws, shape: np.round(draws.normal(0.0, 1.5, shape)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [6, 8, 10, 14])
def test_arms_that_are_alike_are_rarely_told_apart(shape, n, draws):
    """A/A comparisons: false verdicts in at most 6.5 % of the experiments."""
    values = SHAPES[shape](draws, (EXPERIMENTS if n < 14 else 500, n))
    assert np.mean(sign_flip_p(values) <= statistics.LEVEL) <= 0.065


def test_several_arms_that_are_alike_are_rarely_told_apart(draws):
    """With four arms and Holm, at most 6.5 % of the experiments have any false verdict; without, far more."""
    base, *arms = draws.normal(0.0, 1.0, (5, EXPERIMENTS, 8))
    p = np.stack([sign_flip_p(arm - base) for arm in arms], axis=-1)
    adjusted = np.apply_along_axis(holm, -1, p)
    assert np.mean((adjusted <= 0.05).any(-1)) <= 0.065
    assert np.mean((p <= 0.05).any(-1)) > 0.1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [10, 15, 20])
def test_intervals_cover_what_they_say(shape, n, draws):
    """From 10 seeds on, the 95 % interval holds the true mean in 95 ± 1.5 % of the experiments."""
    values = SHAPES[shape](draws, (20_000, n))
    _, low, high = t_interval(values)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.015)


def test_a_percentile_bootstrap_would_not(draws):
    """At 5 seeds a percentile bootstrap covers about 84 %: why the interval is Student's, which covers 95 %."""
    values = draws.normal(0.0, 1.0, (1500, 5))
    means = values[:, draws.integers(0, 5, (1000, 5))].mean(axis=-1)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.88
    _, low, high = t_interval(values)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.02)


def test_different_arms_within_the_margin_are_rarely_called_the_same(draws):
    """Where the true difference is the margin itself, equivalence is claimed in at most 6.5 % of the experiments."""
    values = draws.normal(0.5, 1.0, (EXPERIMENTS, 12))
    claims = [paired_same(row) for row in values[:2000]]
    assert np.mean(claims) <= 0.065


def paired_same(row):
    """Whether the differences are called equivalent within 0.5."""
    deviation = row.std(ddof=1)
    return statistics._equivalence_p(row.mean(), deviation, len(row), 0.5) <= statistics.LEVEL


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_censoring_keeps_the_false_verdicts_down(share, draws):
    """A/A comparisons of times of which a share never came to the target: still at most 6.5 % false verdicts."""
    times = draws.exponential(1.0, (2, EXPERIMENTS, 10)) + 1
    horizon = np.quantile(times, 1 - share)
    arm, base = np.where(times > horizon, np.nan, np.log(times))
    differences = censored_differences(arm, base, np.log(horizon), np.log(horizon))
    assert np.mean(sign_flip_p(differences) <= statistics.LEVEL) <= 0.065


def test_looking_after_every_seed_finds_too_much(draws):
    """The 13 % of docs/comparing.md: A/A comparisons that end at the first "better" or "worse" from 6 to 14 seeds."""
    values = draws.normal(size=(1500, 14))
    found = np.array([sign_flip_p(values[:, :seeds]) <= statistics.LEVEL for seeds in range(6, 15)])
    assert found.any(axis=0).mean() == pytest.approx(0.13, abs=0.015)
    assert found[-1].mean() == pytest.approx(0.05, abs=0.015)
