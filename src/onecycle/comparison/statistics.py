"""Statistics of paired runs: an interval, a test with few assumptions, and the kind of verdict.

All numbers describe paired differences, arm minus baseline, one per seed.

* Interval: Student's t. The percentile bootstrap, often used here, covers only 84 % instead of 95 % at 5 seeds, because
  it takes the spread of a few values for the true spread and has no heavier tails to compensate. Student's interval is
  exact for normal differences, and close for other roughly symmetric distributions from about 10 seeds on. Skewed
  differences, as when one run in ten fails, are hard for every interval from few values: for differences as skewed as
  the exponential distribution, it covers 90 % at 10 seeds and 92 % at 20.
* Test: the sign-flip permutation test. If an arm makes no difference, each paired difference is equally likely to have
  either sign. The test is exact for every distribution. With n seeds there are 2**n sign flips and the smallest
  two-sided p value is 2 / 2**n. With fewer than 6 seeds no result can be significant at 5 %, and the verdict is
  "cannot tell".
* Several arms: where several arms are compared with one baseline, p values are adjusted by Holm's method.
* Equivalence: "no practical difference" needs a margin that was given before the runs, and both one-sided t tests
  against it (TOST) must be significant. It takes precedence over "better" and "worse": a difference may be certain and
  too small to matter.
* Failed runs: a run that diverged is worse than any that did not, by an unknown amount. Its difference is infinite, and
  the test is then that of the signed ranks of the differences (Wilcoxon's, ties and zeros included), in which an
  infinite difference has the highest rank. The result does not depend on other arms or on the unit of the measure.
* Runs that never reached the target are never dropped, see `censoring`. The sign-flip test stays valid with the values
  used in their place. Equivalence does not, since differences censored towards a tie look smaller than they are: "no
  practical difference" is never claimed from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Array = NDArray[np.float64]

LEVEL = 0.05  # significance level of every test; intervals are of level 1 - LEVEL
FEWEST_SEEDS = 6  # 2 / 2**5 = 0.0625: the smallest p value of 5 seeds is above LEVEL
EXACT_SEEDS = 14  # up to here all 2**n sign flips are enumerated; above, 2**14 are drawn
POWER = 0.8  # power that the advice "about N more seeds" aims at
MOST_SEEDS = 1000  # our choice: advice to run more seeds than that is useless

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no practical difference", "cannot tell"


@dataclass(frozen=True)
class PairedTest:
    """Result of the tests on one arm's paired differences.

    Attributes:
        seeds: Number of differences.
        low: Lower end of the 95 % interval of the mean. NaN below 2 seeds, and where any difference is infinite.
        high: Upper end of the interval.
        mean: Mean of the tested values: of the differences or, where any is infinite, of their signed ranks.
        deviation: Standard deviation of the tested values. NaN below 2 seeds.
        p: Two-sided p value of the sign-flip test.
        p_equivalence: p value of equivalence within the margin, the larger of the two one-sided t tests. 1 without a
            margin.
        probability: Fraction of the seeds with a positive difference, ties counted half.
    """

    seeds: int
    low: float
    high: float
    mean: float
    deviation: float
    p: float
    p_equivalence: float
    probability: float


def paired_test(differences: ArrayLike, margin: float | None = None) -> PairedTest:
    """Test paired differences, before any adjustment for the number of arms.

    Args:
        differences: Float array of shape (n,), one difference per seed. Infinite where one of the two runs failed, so
            that the difference has a sign but no size.
        margin: Largest difference that is of no practical interest, > 0, or None. Equivalence is not tested where any
            difference is infinite.

    Returns:
        The test result.

    Raises:
        ValueError: If `differences` is not one-dimensional or has a NaN.

    References:
        R. A. Fisher, The Design of Experiments (1935), section 21, for the sign-flip test.
        F. Wilcoxon, Individual comparisons by ranking methods (1945), for signed ranks; J. W. Pratt, Remarks on zeros
        and ties in the Wilcoxon signed rank procedures (1959).
        D. J. Schuirmann, A comparison of the two one-sided tests procedure ... (1987), for equivalence.
    """
    values = _checked(differences)
    finite = bool(np.isfinite(values).all())
    tested, margin = (values, margin) if finite else (signed_ranks(values), None)
    n = len(values)
    mean = float(tested.mean()) if n else math.nan
    deviation = float(tested.std(ddof=1)) if n > 1 else math.nan
    _, low, high = (float(number) for number in t_interval(tested))
    return PairedTest(
        seeds=n,
        low=low if finite else math.nan,
        high=high if finite else math.nan,
        mean=mean,
        deviation=deviation,
        p=float(sign_flip_p(tested)),
        p_equivalence=1.0 if margin is None else _equivalence_p(mean, deviation, n, margin),
        probability=float(np.mean((values > 0) + 0.5 * (values == 0))) if n else math.nan,
    )


def signed_ranks(differences: ArrayLike) -> Array:
    """Return the rank of each absolute difference with the sign of the difference.

    Equal sizes share their mean rank, and a difference of 0 has rank 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    return np.asarray(np.sign(values) * stats.rankdata(np.abs(values)))


def t_interval(differences: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the mean over the last axis and the ends of Student's 95 % interval.

    The ends are NaN below 2 values, and the mean is NaN without any.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = values.shape[-1]
    if n == 0:
        empty = np.full(values.shape[:-1], math.nan)
        return empty, empty, empty
    mean = values.mean(axis=-1)
    if n == 1:
        return mean, np.full_like(mean, math.nan), np.full_like(mean, math.nan)
    half = special.stdtrit(n - 1, 1 - LEVEL / 2) * values.std(axis=-1, ddof=1) / math.sqrt(n)
    return mean, mean - half, mean + half


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


def holm(p: ArrayLike) -> Array:
    """Return p values of shape (n,), adjusted by Holm's method so that all n tests together keep the level.

    References:
        S. Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    # The smallest p is multiplied by n, the next by n - 1, and so on. The running maximum keeps their order.
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def adjusted_p_values(tests: Sequence[PairedTest]) -> list[tuple[float, float]]:
    """Return (p, p of equivalence) for each arm's test, both adjusted for the number of arms."""
    difference = holm([test.p for test in tests]).tolist()
    equivalence = holm([test.p_equivalence for test in tests]).tolist()
    return list(zip(difference, equivalence, strict=True))


def verdict_kind(test: PairedTest, p: float, p_equivalence: float) -> str:
    """Return the kind of verdict: "better", "worse", "no practical difference" or "cannot tell".

    Args:
        test: The test result, in which positive differences are better.
        p: p value of a difference, adjusted for the number of arms.
        p_equivalence: p value of equivalence, adjusted likewise.
    """
    if test.seeds < FEWEST_SEEDS:
        return UNKNOWN
    # Before "better" and "worse": a difference may be certain and still too small to matter.
    if p_equivalence <= LEVEL:
        return SAME
    if p <= LEVEL:
        return BETTER if test.mean > 0 else WORSE
    return UNKNOWN


def more_seeds(test: PairedTest, margin: float | None, arms: int = 1) -> int | None:
    """Estimate how many more seeds would give a verdict, if mean and spread stay as they are.

    The estimate is the smaller of what the test of a difference and the test of equivalence need for a power of 80 %.

    Args:
        test: The test result so far.
        margin: Largest difference that is of no practical interest, > 0, or None.
        arms: Number of tested arms, for the first step of Holm's method.

    Returns:
        The number of additional seeds, or None if more than 1000 seeds would be needed in total.
    """
    if test.seeds < 2:
        return fewest_seeds(arms) - test.seeds
    # At level / arms, the first step of Holm's method.
    needed = [_seeds_for(abs(test.mean), test.deviation, LEVEL / 2 / arms, POWER)]
    if margin is not None:
        # Both one-sided tests must be significant, so each needs the power (1 + POWER) / 2.
        needed.append(_seeds_for(margin - abs(test.mean), test.deviation, LEVEL / arms, (1 + POWER) / 2))
    total = max(min(needed), fewest_seeds(arms), test.seeds + 1)
    return None if total > MOST_SEEDS else int(total - test.seeds)


def fewest_seeds(arms: int) -> int:
    """Return the number of seeds below which no result can be significant: 6 with one arm, 7 with two."""
    return math.ceil(math.log2(2 * arms / LEVEL))


def _checked(differences: ArrayLike) -> Array:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise ValueError(
            "Argument `differences` must be a one-dimensional array without NaN, with one number per seed. "
            f"Received: differences={values!r}"
        )
    return values


def _equivalence_p(mean: float, deviation: float, n: int, margin: float) -> float:
    """Return the larger p value of the two one-sided t tests against the margin."""
    if n < 2:
        return 1.0
    error = deviation / math.sqrt(n)
    distance = margin - abs(mean)
    # Without any spread, the mean is taken as exact.
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(special.stdtr(n - 1, -distance / error))


def _seeds_for(distance: float, deviation: float, level: float, power: float) -> float:
    """Return the seeds with which a one-sided t test detects a distance: the normal formula, corrected for t."""
    if distance <= 0:
        return math.inf
    z = special.ndtri(1 - level)
    return math.ceil(((z + special.ndtri(power)) * deviation / distance) ** 2 + z**2 / 2)
