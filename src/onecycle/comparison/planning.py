"""How many seeds a verdict takes: what a comparison will be able to tell, and how many more seeds would help."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from onecycle.comparison.statistics import FEWEST_SEEDS, LEVEL, PairedTest, critical_t

POWER = 0.8  # of the verdicts that this module plans
MOST_SEEDS = 1000  # our choice: advice to run more seeds than that is useless
LARGEST_EFFECT = 1000.0  # in standard deviations; beyond, the same few seeds are needed


def detectable_effect(seeds: int, arms: int) -> float:
    """Return the mean difference, in standard deviations of the differences, that is found with a power of 80 %.

    Args:
        seeds: Number of seeds, at least 3.
        arms: Number of arms that are compared with the baseline.
    """
    return float(special.nctdtrinc(seeds - 1, 1 - POWER, critical_t(seeds, arms))) / math.sqrt(seeds)


def seeds_for_effect(effect: float, arms: int, power: float = POWER) -> int | None:
    """Return the fewest seeds with which a mean difference is found with this power, or None above 1000.

    Args:
        effect: The mean difference in standard deviations of the differences, >= 0.
        arms: Number of arms that are compared with the baseline.
        power: The probability of a verdict.
    """
    seeds = np.arange(FEWEST_SEEDS, MOST_SEEDS + 1)
    enough = np.flatnonzero(_power(min(effect, LARGEST_EFFECT), seeds, arms) >= power)
    return int(seeds[enough[0]]) if len(enough) else None


def fewest_seeds_without_interval(arms: int) -> int:
    """Return the number of seeds below which no sign-flip test can be significant: 6 with one arm, 7 with two.

    With n seeds, the smallest two-sided p value is 2 / 2**n.
    """
    return math.ceil(math.log2(2 * arms / LEVEL))


def fewest_seeds(test: PairedTest) -> int:
    """Return the number of seeds below which no verdict of this kind of test is possible."""
    has_interval = test.seeds < FEWEST_SEEDS or not math.isnan(test.low)
    return FEWEST_SEEDS if has_interval else fewest_seeds_without_interval(test.arms)


def more_seeds(test: PairedTest, margin: float | None) -> int | None:
    """Estimate how many more seeds would give a verdict, if mean and spread stay as they are.

    The estimate is the smaller of what a verdict on a difference and one of equivalence need for a power of 80 %.

    Args:
        test: The test result so far.
        margin: Largest difference that is of no practical interest, > 0, or None.

    Returns:
        The number of additional seeds, or None if more than 1000 seeds would be needed in total.
    """
    fewest = fewest_seeds(test)
    if test.seeds < 2:
        return fewest - test.seeds
    needed = [seeds_for_effect(_in_deviations(abs(test.mean), test.deviation), test.arms)]
    if margin is not None:
        # Both ends of the interval must be inside the margin, so each needs the power (1 + POWER) / 2.
        distance = _in_deviations(margin - abs(test.mean), test.deviation)
        needed.append(seeds_for_effect(distance, test.arms, (1 + POWER) / 2))
    possible = [seeds for seeds in needed if seeds is not None]
    if test.seeds < fewest:
        possible = possible or [fewest]  # so few seeds show neither mean nor spread
    return max(min(possible), fewest, test.seeds + 1) - test.seeds if possible else None


def _power(effect: float, seeds: NDArray[np.int64], arms: int) -> NDArray[np.float64]:
    """Return the probability that an interval ends above 0, for each number of seeds."""
    power: ArrayLike = 1 - special.nctdtr(seeds - 1, effect * np.sqrt(seeds), critical_t(seeds, arms))
    return np.asarray(power)


def _in_deviations(distance: float, deviation: float) -> float:
    if distance <= 0:
        return 0.0
    return distance / deviation if deviation > 0 else math.inf
