"""The statistics of comparisons, checked by hand, against scipy and by simulation."""

import numpy as np
import pytest
from scipy import stats

from onecycle.comparison import statistics
from onecycle.comparison.censoring import censored_differences, fill_failed_pairs
from onecycle.comparison.statistics import LEVEL, paired_test, sign_flip_p, t_interval, verdict_kind

EXPERIMENTS = 4000


@pytest.fixture
def draws():
    """A random generator with the same seed for every test."""
    return np.random.default_rng(20261123)


def verdict(differences, margin=None, **options):
    """Return the kind of verdict."""
    return verdict_kind(paired_test(differences, **options), margin)


@pytest.mark.parametrize("arms", [1, 3])
def test_interval_and_p_are_students(arms, draws):
    """They equal those of scipy's one-sample t test, at the level 0.05 / arms and times the number of arms."""
    values = draws.normal(0.6, 1.0, 9)
    test, expected = paired_test(values, arms=arms), stats.ttest_1samp(values, 0.0)
    interval = expected.confidence_interval(1 - 0.05 / arms)
    assert test.mean == pytest.approx(values.mean())
    assert (test.low, test.high) == pytest.approx((interval.low, interval.high))
    assert test.p == pytest.approx(min(1.0, arms * expected.pvalue))


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5, 6], 2 / 64),  # only the original signs and all opposite signs are as far from 0
        ([1, 2, 3, 4, 5], 2 / 32),
        ([1, 1, 1, -1], 10 / 16),  # 1 + 4 of the 16 flips give a sum of at least 2, as many of at most -2
        ([1, -1], 1.0),
        ([0, 0, 0], 1.0),
        ([3], 1.0),
        ([], 1.0),
    ],
)
def test_sign_flip_test_counts_all_flips(differences, p):
    """The p value is the fraction of sign flips whose mean is at least as far from zero."""
    assert sign_flip_p(differences) == pytest.approx(p)


def test_sign_flips_of_many_seeds_are_drawn(draws):
    """With more than 14 seeds the p value is close to that of the t test, never 0, and reproducible."""
    values = draws.normal(0.4, 1.0, 30)
    assert sign_flip_p(values) == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, abs=0.01)
    assert sign_flip_p(values) == sign_flip_p(values)
    assert 0 < sign_flip_p(np.arange(1.0, 31.0)) < 0.001


def test_fewer_than_three_seeds_give_no_verdict():
    """Two seeds that agree give no verdict and no interval, three do."""
    assert verdict([1.0, 1.01]) == "cannot tell"
    assert np.isnan([paired_test([1.0, 1.01]).low, paired_test([1.0, 1.01]).high]).all()
    assert verdict([1.0, 1.1, 0.9]) == "better"
    assert verdict([-1.0, -1.1, -0.9]) == "worse"
    assert verdict([0.0] * 2, margin=0.1) == "cannot tell"


def test_clear_effect_is_clear_with_few_seeds_and_several_arms():
    """Six seeds and two arms have a verdict, which they never had by the sign-flip test: 2 * 2 / 2**6 > 0.05."""
    differences = [0.1, 0.12, 0.2, 0.15, 0.13, 0.134]
    test = paired_test(differences, arms=2)
    assert 2 * sign_flip_p(differences) > LEVEL
    assert 0 < test.low < test.mean == pytest.approx(0.139)
    assert verdict_kind(test) == "better"


def test_verdict_never_contradicts_its_interval(draws):
    """The verdict is read off the interval, p agrees with it, and equivalence takes precedence."""
    kinds = set()
    for _ in range(2000):
        seeds, arms, margin = draws.integers(1, 12), draws.integers(1, 6), draws.choice([0.5, 2.0])
        values = np.round(draws.normal(draws.choice([0.0, 1.0, -3.0]), draws.choice([0.1, 1.0]), seeds), 1)
        test = paired_test(values, arms=arms, resolution=0.1)
        kind, alone = verdict_kind(test, margin), verdict_kind(test)
        kinds |= {kind, alone}
        assert (alone == "better") == (test.low > 0)
        assert (alone == "worse") == (test.high < 0)
        assert (kind == "no practical difference") == (-margin < test.low and test.high < margin)
        assert kind in (alone, "no practical difference")
        if seeds >= 3 and abs(test.p - LEVEL) > 1e-9:
            assert (test.p < LEVEL) == (alone != "cannot tell")

    assert kinds == {"better", "worse", "no practical difference", "cannot tell"}


def test_equivalence_needs_margin_and_takes_precedence():
    """Certain differences far inside the margin are no practical difference. Without a margin they are better."""
    tiny = [0.010, 0.011, 0.009, 0.010, 0.012, 0.011]
    assert verdict(tiny, margin=0.1) == "no practical difference"
    assert verdict(tiny) == "better"
    assert verdict([0.0] * 6, margin=0.1) == "no practical difference"
    assert verdict([0.0] * 6) == "cannot tell"
    assert verdict([0.2] * 6, margin=0.1) == "better"


@pytest.mark.parametrize("arms", [1, 3])
def test_equivalence_is_two_one_sided_t_tests(arms, draws):
    """It is claimed where scipy's two one-sided tests against the margin are both below 0.025 / arms."""
    claims = []
    for row in draws.normal(0.02, 0.1, (200, 10)):
        above = stats.ttest_1samp(row, -0.12, alternative="greater").pvalue
        below = stats.ttest_1samp(row, 0.12, alternative="less").pvalue
        claims.append(verdict(row, margin=0.12, arms=arms) == "no practical difference")
        assert claims[-1] == (max(above, below) < 0.025 / arms)
    assert 0 < sum(claims) < len(claims)


@pytest.mark.parametrize("seeds", [3, 4, 6])
def test_agreement_of_rounded_differences_is_no_precision(seeds):
    """Differences of one step in all of 3 seeds show nothing, since their spread is at least half a step."""
    test = paired_test([0.01] * seeds, resolution=0.01)
    assert test.deviation == 0.005
    assert test.high - test.mean == pytest.approx(stats.t.ppf(0.975, seeds - 1) * 0.005 / np.sqrt(seeds))
    assert verdict_kind(test) == ("better" if seeds > 3 else "cannot tell")
    assert verdict([0.03] * seeds, resolution=0.01) == "better"
    assert verdict([0.01] * seeds) == "better"


def test_missing_values_leave_the_sign_flip_test():
    """Where differences are only bounds there is no interval, and p is that of the sign-flip test times the arms."""
    values = [1.0, 1.1, 0.9, 1.0, 1.2, 1.1]
    for arms in (1, 2):
        test = paired_test(values, arms=arms, missing=True)
        assert np.isnan([test.low, test.high]).all()
        assert test.p == pytest.approx(arms * 2 / 64)
        assert verdict_kind(test, margin=100.0) == ("better" if arms == 1 else "cannot tell")


def test_probability_counts_ties_half():
    """Two of four better and one tie make 62.5 %."""
    assert paired_test([1.0, 2.0, 0.0, -1.0]).probability == 0.625


def test_single_seed_has_no_interval():
    """One difference has a mean, but no interval and no evidence."""
    test = paired_test([0.5])
    assert (test.mean, test.p) == (0.5, 1.0)
    assert np.isnan([test.low, test.high, test.deviation]).all()


def test_nan_is_no_difference():
    """A failed run is represented by an infinite difference, so NaN is an error."""
    with pytest.raises(ValueError, match="one number per seed"):
        paired_test([1.0, np.nan])


@pytest.mark.parametrize(("sign", "better"), [(1.0, np.inf), (-1.0, -np.inf)])
def test_failed_run_is_worse_than_any_other(sign, better):
    """The difference of a pair with one failed run is infinite; if both failed, the pair is a tie."""
    arm, baseline = [False, False, True, True], [False, True, False, True]
    filled = fill_failed_pairs([0.5, np.nan, np.nan, np.nan], arm, baseline, sign)
    np.testing.assert_array_equal(filled, [0.5, better, -better, 0.0])


def test_infinite_differences_are_tested_by_wilcoxon(draws):
    """The exact p value equals SciPy's, and an infinite difference counts as one that is larger than the others."""
    for seeds in (6, 9, 12):
        values = draws.normal(0.6, 1.0, seeds)
        expected = stats.wilcoxon(values, method="exact").pvalue
        assert sign_flip_p(statistics.signed_ranks(values)) == pytest.approx(expected)
        largest = np.argmax(np.abs(values))
        values[largest] *= np.inf
        test = paired_test(values)
        assert test.p == pytest.approx(expected)
        assert paired_test(values, arms=2).p == pytest.approx(2 * expected)
        assert test.mean == pytest.approx(statistics.signed_ranks(values).mean())
        assert np.isnan([test.low, test.high]).all()
        assert verdict_kind(test, margin=100.0) != "no practical difference"


def test_six_failures_are_significant():
    """Six of six infinite differences of one sign have the smallest possible p value. Ties are no evidence."""
    assert paired_test([-np.inf] * 6).p == 2 / 2**6
    assert paired_test([-np.inf] * 3 + [0.0] * 3).p == 2 / 2**3


@pytest.mark.parametrize(
    ("arm", "baseline", "difference"),
    [
        ((3, 10), (5, 10), -2),  # both reached the target
        ((3, 10), (None, 8), -5),  # the baseline not within 8 epochs: the arm is ahead by at least 5
        ((9, 10), (None, 8), 0),  # unknown which would have been first
        ((None, 10), (4, 8), 6),  # the arm not within 10 epochs: behind by at least 6
        ((None, 2), (4, 8), 0),  # the arm ended before the baseline reached it: not ahead for that
        ((None, 2), (None, 8), 0),
    ],
)
def test_censored_time_never_beats_measured_time(arm, baseline, difference):
    """With (time or None, length) of arm and baseline, the difference is the smallest possible one, or a tie."""
    (a, la), (b, lb) = [(np.nan if time is None else time, length) for time, length in (arm, baseline)]
    assert censored_differences([a], [b], [la], [lb]) == [difference]
    assert censored_differences([b], [a], [lb], [la]) == [-difference]


# Distributions as in runs of neural networks: normal, heavy-tailed (a few bad seeds), discrete (a small test set).
SHAPES = {
    "normal": lambda draws, shape: draws.normal(0.0, 1.0, shape),
    "heavy": lambda draws, shape: draws.standard_t(4, shape),
    "steps": lambda draws, shape: np.round(draws.normal(0.0, 1.5, shape)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [6, 8, 10, 14])
def test_false_positives_of_sign_flips_are_rare(shape, n, draws):
    """In A/A comparisons at most 6.5 % of the experiments are significant."""
    values = SHAPES[shape](draws, (EXPERIMENTS if n < 14 else 500, n))
    assert np.mean(sign_flip_p(values) <= LEVEL) <= 0.065


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [3, 4, 6, 10, 20])
@pytest.mark.parametrize("arms", [1, 4])
def test_intervals_of_all_arms_hold_together(shape, n, arms, draws):
    """In A/A comparisons, some interval excludes 0 in at most 6.5 % of the experiments, also with rounded values."""
    base, *others = SHAPES[shape](draws, (arms + 1, EXPERIMENTS, n))
    floor = statistics.ROUNDING if shape == "steps" else 0.0
    ends = [t_interval(other - base, arms=arms, floor=floor) for other in others]
    wrong = np.array([(low > 0) | (high < 0) for _, low, high in ends])
    assert wrong.any(axis=0).mean() <= 0.065


def test_intervals_of_single_arms_do_not_hold_together(draws):
    """With four arms that share the baseline, some 95 % interval of its own excludes 0 in more than 10 % of cases."""
    base, *others = draws.normal(0.0, 1.0, (5, EXPERIMENTS, 8))
    ends = [t_interval(other - base) for other in others]
    assert np.array([(low > 0) | (high < 0) for _, low, high in ends]).any(axis=0).mean() > 0.1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [10, 15, 20])
def test_intervals_have_nominal_coverage(shape, n, draws):
    """From 10 seeds on, the 95 % interval covers the true mean in 95 ± 1.5 % of the experiments."""
    values = SHAPES[shape](draws, (20_000, n))
    _, low, high = t_interval(values)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.015)


def test_percentile_bootstrap_has_too_little_coverage(draws):
    """At 5 seeds a percentile bootstrap covers the mean in about 84 % of experiments, Student's interval in 95 %."""
    values = draws.normal(0.0, 1.0, (1500, 5))
    means = values[:, draws.integers(0, 5, (1000, 5))].mean(axis=-1)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.88
    _, low, high = t_interval(values)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.02)


def test_false_equivalence_is_rare(draws):
    """If the true difference is the margin itself, equivalence is claimed in at most 3.5 % of the experiments."""
    values = draws.normal(0.5, 1.0, (EXPERIMENTS, 12))
    _, low, high = t_interval(values)
    assert np.mean((low > -0.5) & (high < 0.5)) <= 0.035


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_false_positives_of_censored_times_are_rare(share, draws):
    """In A/A comparisons of times, a part of them censored, at most 6.5 % of the experiments are significant."""
    times = draws.exponential(1.0, (2, EXPERIMENTS, 10)) + 1
    horizon = np.quantile(times, 1 - share)
    arm, base = np.where(times > horizon, np.nan, np.log(times))
    differences = censored_differences(arm, base, np.log(horizon), np.log(horizon))
    assert np.mean(sign_flip_p(differences) <= LEVEL) <= 0.065


def test_testing_after_every_seed_inflates_false_positives(draws):
    """A/A comparisons that stop at the first significant result from 3 to 14 seeds are significant in 20 % of cases.

    docs/comparing.md quotes this figure.
    """
    values = draws.normal(size=(EXPERIMENTS, 14))
    ends = [t_interval(values[:, :seeds]) for seeds in range(3, 15)]
    significant = np.array([(low > 0) | (high < 0) for _, low, high in ends])
    assert significant.any(axis=0).mean() == pytest.approx(0.20, abs=0.015)
    assert significant[-1].mean() == pytest.approx(0.05, abs=0.01)
