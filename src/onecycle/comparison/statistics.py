"""Statistics of paired runs: one interval per arm, and the verdict that can be read off it.

All numbers describe paired differences, arm minus baseline, one per seed. `studies/2026-11-27_verdicts` has the error
rates on which the choices rest.

* Interval: Student's t. With several arms each interval is of level 1 - LEVEL / arms (Bonferroni), so that all of a
  measure hold together with at least 95 %. This needs nothing of the arms, whose differences share the baseline and
  may vary by different amounts. Dunnett's critical values assume equal variances, and are wrong in 8 % of comparisons
  of three arms with 3 seeds.
* Verdict: "better" or "worse" if the interval excludes 0, "no practical difference" if it is inside a margin that was
  given before the runs. The latter takes precedence: a difference may be certain and too small to matter. So no verdict
  contradicts its interval, and while the intervals hold, all verdicts are right.
* Error rates: where all arms train in the same way, some verdict of a measure is "better" or "worse" in at most 5.8 %
  of comparisons with 4 to 20 seeds and 1 to 5 arms, also where runs fail or are rounded. With 3 seeds it is at most
  5.1 %, but up to 10.5 % where every second run fails; with 2 seeds that is 8 % for one arm alone, so that there is no
  interval and no verdict. If arms differ, very skewed differences are hard for every rule from few values: for those
  like the exponential distribution, of mean 0, one arm has a verdict in 12 % of cases at 5 seeds and 10 % at 10. The
  percentile bootstrap, often used here, covers only 84 % instead of 95 % at 5 seeds even for normal differences.
* Rounded values: on a small held-out set, or with times in whole epochs, differences may agree by rounding alone. The
  standard deviation is therefore at least that of the rounding errors of two values, see `resolution`.
* Without an interval: a run that diverged is worse than any that did not, by an unknown amount. Its difference is
  infinite, and the test is the sign-flip test of the signed ranks (Wilcoxon's, ties and zeros included). Runs that
  never reached the target are never dropped, see `censoring`. Their differences are only bounds, and the test is the
  sign-flip test. It is exact for every distribution if the arm makes no difference, but needs 6 seeds for one arm. p
  values are multiplied by the number of arms. Equivalence is never claimed without an interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Array = NDArray[np.float64]

LEVEL = 0.05  # of all verdicts on a measure together; their intervals hold together with 1 - LEVEL
FEWEST_SEEDS = 3  # for Student's interval; two seeds agree too often by chance
ROUNDING = 0.5  # smallest standard deviation of differences, in units of the resolution; rounding alone makes it 0.41
EXACT_SEEDS = 14  # up to here all 2**n sign flips are enumerated; above, 2**14 are drawn

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no practical difference", "cannot tell"


@dataclass(frozen=True)
class PairedTest:
    """Result of the tests on one arm's paired differences.

    Attributes:
        seeds: Number of differences.
        arms: Number of arms that interval and p value are adjusted for.
        low: Lower end of the interval of the mean. NaN below 3 seeds, and where a run has no value.
        high: Upper end of the interval.
        mean: Mean of the tested values: of the differences or, where any is infinite, of their signed ranks.
        deviation: Standard deviation of the tested values, at least that of rounding errors. NaN below 2 seeds.
        p: Two-sided p value of a difference, of Student's test or, without an interval, of the sign-flip test.
        probability: Fraction of the seeds with a positive difference, ties counted half.
    """

    seeds: int
    arms: int
    low: float
    high: float
    mean: float
    deviation: float
    p: float
    probability: float


def paired_test(differences: ArrayLike, *, arms: int = 1, resolution: float = 0.0, missing: bool = False) -> PairedTest:
    """Test paired differences.

    Args:
        differences: Float array of shape (n,), one difference per seed. Infinite where one of the two runs failed, so
            that the difference has a sign but no size.
        arms: Number of arms that are compared with the baseline, which interval and p value are adjusted for.
        resolution: Distance between neighboring values that the measure can have, >= 0; 0 for a continuous measure.
        missing: Whether some run has no value, so that its difference is infinite, a tie or only a bound.

    Returns:
        The test result.

    Raises:
        ValueError: If `differences` is not one-dimensional or has a NaN.

    References:
        R. A. Fisher, The Design of Experiments (1935), section 21, for the sign-flip test.
        F. Wilcoxon, Individual comparisons by ranking methods (1945), for signed ranks; J. W. Pratt, Remarks on zeros
        and ties in the Wilcoxon signed rank procedures (1959).
        O. J. Dunn, Multiple comparisons among means (1961), for intervals that hold together.
    """
    values = _checked(differences)
    n, has_sizes = len(values), bool(np.isfinite(values).all())
    tested = values if has_sizes else signed_ranks(values)
    floor = resolution * ROUNDING if has_sizes else 0.0
    mean, low, high = (float(number) for number in t_interval(tested, arms=arms, floor=floor))
    has_interval = has_sizes and not missing and n >= FEWEST_SEEDS
    p = _t_p(tested, floor) if has_interval else float(sign_flip_p(tested))
    return PairedTest(
        seeds=n,
        arms=arms,
        low=low if has_interval else math.nan,
        high=high if has_interval else math.nan,
        mean=mean,
        deviation=float(_deviation(tested, floor)) if n > 1 else math.nan,
        p=min(1.0, arms * p),
        probability=float(np.mean((values > 0) + 0.5 * (values == 0))) if n else math.nan,
    )


def verdict_kind(test: PairedTest, margin: float | None = None) -> str:
    """Return the kind of verdict: "better", "worse", "no practical difference" or "cannot tell".

    Args:
        test: The test result, in which positive differences are better.
        margin: Largest difference that is of no practical interest, > 0, or None.
    """
    if math.isnan(test.low):
        certain = test.p <= LEVEL
    elif margin is not None and -margin < test.low and test.high < margin:
        return SAME
    else:
        certain = test.low > 0 or test.high < 0
    if not certain:
        return UNKNOWN
    return BETTER if test.mean > 0 else WORSE


def signed_ranks(differences: ArrayLike) -> Array:
    """Return the rank of each absolute difference with the sign of the difference.

    Equal sizes share their mean rank, and a difference of 0 has rank 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    return np.asarray(np.sign(values) * stats.rankdata(np.abs(values)))


def t_interval(differences: ArrayLike, *, arms: int = 1, floor: float = 0.0) -> tuple[Array, Array, Array]:
    """Return the mean over the last axis and the ends of Student's 95 % interval.

    The ends are NaN below 2 values, and the mean is NaN without any.

    Args:
        differences: Float array of shape (..., n).
        arms: Number of such intervals that hold together with 95 %.
        floor: The standard deviation is taken to be at least this.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = values.shape[-1]
    if n == 0:
        empty = np.full(values.shape[:-1], math.nan)
        return empty, empty, empty
    mean = values.mean(axis=-1)
    if n == 1:
        return mean, np.full_like(mean, math.nan), np.full_like(mean, math.nan)
    half = critical_t(n, arms) * _deviation(values, floor) / math.sqrt(n)
    return mean, mean - half, mean + half


def critical_t(seeds: ArrayLike, arms: int) -> Array:
    """Return how many standard errors from 0 a mean must be to be significant, for one of several arms."""
    return np.asarray(special.stdtrit(np.asarray(seeds) - 1, 1 - LEVEL / 2 / arms))


def sign_flip_p(differences: ArrayLike) -> Array:
    """Return the two-sided p value of the sign-flip test of the mean over the last axis; 1 below 2 values.

    Up to n = 14 all 2**n sign flips are enumerated and the p value is exact. Beyond, 2**14 flips are drawn with a fixed
    seed.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.shape[-1] < 2:
        return np.ones(values.shape[:-1])
    result = stats.permutation_test(
        (values,),
        lambda sample, axis: sample.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**EXACT_SEEDS,
        # Whole tables of flips at once need memory for each row of `values`.
        batch=2**EXACT_SEEDS if values.ndim == 1 else 64,
        axis=-1,
        rng=0,
    )
    return np.asarray(result.pvalue)


def _checked(differences: ArrayLike) -> Array:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise ValueError(
            "Argument `differences` must be a one-dimensional array without NaN, with one number per seed. "
            f"Received: differences={values!r}"
        )
    return values


def _deviation(values: Array, floor: float) -> Array:
    return np.maximum(values.std(axis=-1, ddof=1), floor)


def _t_p(values: Array, floor: float) -> float:
    """Return the two-sided p value of Student's test of the mean."""
    mean, error = abs(float(values.mean())), float(_deviation(values, floor)) / math.sqrt(len(values))
    # Without any spread, the mean is taken as exact.
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * special.stdtr(len(values) - 1, -mean / error))
