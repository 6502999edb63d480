"""What few paired runs allow to be said: an interval, a test that assumes almost nothing, and a verdict in words.

Every number is of the differences, arm minus baseline, one for each seed.

* The interval is Student's. A percentile bootstrap, often used here, covers only 84 % instead of 95 % at 5 seeds: it
  takes the spread of the few values for that of all, and has no wider tails to make up for it. Student's is exact for
  normal differences and close for others that lie evenly about their mean, from about 10 seeds on. Lopsided ones, as
  where one run in ten fails, are harder for every interval of few values: where the differences are as skewed as the
  exponential distribution, it covers 90 % at 10 seeds and 92 % at 20.
* The test is the sign-flip permutation test: if an arm makes no difference, each difference is as likely to have had
  the other sign. It is exact whatever the distribution. With n seeds there are 2**n ways, and the smallest two-sided p
  is 2 / 2**n: below 6 seeds no result whatever can be significant at 5 %, and the verdict is "cannot tell".
* Where several arms are held against one baseline, p is adjusted by Holm's method.
* "No practical difference" needs a margin given before the runs, and both one-sided t tests against it (TOST). It goes
  before "better" and "worse": a difference may be certain and too small to matter.
* A run that diverged is worse than any that did not, by how much nobody can say: its difference is infinite, and the
  test is then that of the signed ranks of the differences (Wilcoxon's, ties and zeros included), in which
  an infinite one has the highest rank and no size. Nothing of it depends on other arms or on what is measured.
* Runs that never came to the target are never dropped: see `censoring`. The sign-flip test stays valid with
  what is put in their place; equivalence does not, since differences cut towards a tie look smaller than they are: "no
  practical difference" is never claimed from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Array = NDArray[np.float64]

LEVEL = 0.05  # of every test; intervals are of 1 - LEVEL
FEWEST_SEEDS = 6  # 2 / 2**5 = 0.0625: the smallest p of 5 seeds is above LEVEL
EXACT_SEEDS = 14  # 2**14 sign flips are all made; above, as many are drawn
POWER = 0.8  # with which "about N more seeds" would settle it
MOST_SEEDS = 1000  # ours: more than that is no advice

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no practical difference", "cannot tell"


@dataclass(frozen=True)
class Paired:
    """What the differences of one arm say.

    Attributes:
        seeds: number of differences.
        low: lower end of the interval of the mean; NaN below 2 seeds, and where any difference is infinite.
        high: its upper end.
        mean: mean of what is tested: of the differences or, where any is infinite, of their signed ranks.
        deviation: its standard deviation; NaN below 2 seeds.
        p: two-sided p of the sign-flip test.
        p_same: p of equivalence within the margin, the larger of the two one-sided t tests; 1 without a margin.
        probability: share of seeds with a positive difference, ties counted half.
    """

    seeds: int
    low: float
    high: float
    mean: float
    deviation: float
    p: float
    p_same: float
    probability: float


def paired(differences: ArrayLike, margin: float | None = None) -> Paired:
    """Returns what the differences say, before any adjustment for other arms.

    Args:
        differences: float array, (n,), one for each seed; infinite where one of the two runs has lost against the
            other and nobody can say by how much.
        margin: the difference that does not matter, > 0, or None. Nothing is the same where a run has lost.

    References:
        R. A. Fisher, The Design of Experiments (1935), section 21, for the test.
        F. Wilcoxon, Individual comparisons by ranking methods (1945), for that of signed ranks; J. W. Pratt, Remarks
        on zeros and ties in the Wilcoxon signed rank procedures (1959).
        D. J. Schuirmann, A comparison of the two one-sided tests procedure ... (1987), for equivalence.
    """
    values = _checked(differences)
    finite = np.isfinite(values)
    tested, margin = (values, margin) if finite.all() else (signed_ranks(values), None)
    n = len(values)
    mean = float(tested.mean()) if n else math.nan
    deviation = float(tested.std(ddof=1)) if n > 1 else math.nan
    _, low, high = (float(number) for number in t_interval(tested))
    return Paired(
        seeds=n,
        low=low if finite.all() else math.nan,
        high=high if finite.all() else math.nan,
        mean=mean,
        deviation=deviation,
        p=float(sign_flip_p(tested)),
        p_same=1.0 if margin is None else _equivalence_p(mean, deviation, n, margin),
        probability=float(np.mean((values > 0) + 0.5 * (values == 0))) if n else math.nan,
    )


def signed_ranks(differences: ArrayLike) -> Array:
    """Returns the rank of each difference's size with its sign, equal ones sharing theirs; a difference of 0 has 0."""
    values = np.asarray(differences, dtype=np.float64)
    return np.asarray(np.sign(values) * stats.rankdata(np.abs(values)))


def t_interval(differences: ArrayLike) -> tuple[Array, Array, Array]:
    """Returns the mean over the last axis, and the ends of Student's 95 % interval; NaN below 2 seeds."""
    values = np.asarray(differences, dtype=np.float64)
    n = values.shape[-1]
    if n == 0:
        nothing = np.full(values.shape[:-1], math.nan)
        return nothing, nothing, nothing
    mean = values.mean(axis=-1)
    if n == 1:
        return mean, np.full_like(mean, math.nan), np.full_like(mean, math.nan)
    half = special.stdtrit(n - 1, 1 - LEVEL / 2) * values.std(axis=-1, ddof=1) / math.sqrt(n)
    return mean, mean - half, mean + half


def sign_flip_p(differences: ArrayLike) -> Array:
    """Returns the two-sided p of the sign-flip test on the mean, over the last axis; 1 without differences.

    All 2**n flips up to n = 14, so that it is exact; beyond, as many drawn with a fixed seed.
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
        batch=2**EXACT_SEEDS if values.ndim == 1 else 64,
        axis=-1,
        rng=0,
    )
    return np.asarray(result.pvalue)


def holm(p: ArrayLike) -> Array:
    """Returns p values adjusted for their number, so that all are right together with 95 %.

    References:
        S. Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def adjusted(founds: list[Paired]) -> list[tuple[float, float]]:
    """Returns (p, p of equivalence) of each arm, adjusted for the number of arms."""
    return list(
        zip(
            holm([found.p for found in founds]).tolist(), holm([found.p_same for found in founds]).tolist(), strict=True
        )
    )


def decide(found: Paired, p: float, p_same: float) -> str:
    """Returns the verdict, from p values that are adjusted already; positive differences are better."""
    if found.seeds < FEWEST_SEEDS:
        return UNKNOWN
    if p_same <= LEVEL:
        return SAME
    if p <= LEVEL:
        return BETTER if found.mean > 0 else WORSE
    return UNKNOWN


def more_seeds(found: Paired, margin: float | None, arms: int = 1) -> int | None:
    """Returns about how many more seeds would settle it, if mean and spread stay as they are; None above 1000.

    The smaller of what the test of a difference and that of equivalence would need with a power of 80 %.

    Args:
        found: What the seeds say so far.
        margin: The difference that does not matter, or None.
        arms: Number of arms tested, for Holm's first step.
    """
    if found.seeds < 2:
        return fewest_seeds(arms) - found.seeds
    needed = [_seeds_for(abs(found.mean), found.deviation, LEVEL / 2 / arms, POWER)]
    if margin is not None:
        # Both of its one-sided tests have to come out.
        needed.append(_seeds_for(margin - abs(found.mean), found.deviation, LEVEL / arms, (1 + POWER) / 2))
    total = max(min(needed), fewest_seeds(arms), found.seeds + 1)
    return None if total > MOST_SEEDS else int(total - found.seeds)


def fewest_seeds(arms: int) -> int:
    """Returns the number of seeds below which no result can be significant: 6 with one arm, 7 with two."""
    return math.ceil(math.log2(2 * arms / LEVEL))


def _checked(differences: ArrayLike) -> Array:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise ValueError(f"Argument `differences` must be one number a seed. Received: differences={values!r}")
    return values


def _equivalence_p(mean: float, deviation: float, n: int, margin: float) -> float:
    if n < 2:
        return 1.0
    error = deviation / math.sqrt(n)
    room = margin - abs(mean)
    if error == 0:
        return 0.0 if room > 0 else 1.0
    return float(special.stdtr(n - 1, -room / error))


def _seeds_for(distance: float, deviation: float, level: float, power: float) -> float:
    """Seeds with which a one-sided t test at that level sees a distance: the normal formula, corrected for t."""
    if distance <= 0:
        return math.inf
    z = special.ndtri(1 - level)
    return math.ceil(((z + special.ndtri(power)) * deviation / distance) ** 2 + z**2 / 2)
