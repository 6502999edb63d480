"""Differences of pairs in which a run has no number: it diverged, or never came to the target."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def decided_by_loss(differences: ArrayLike, arm_lost: ArrayLike, baseline_lost: ArrayLike, sign: float) -> Array:
    """Returns differences, arm minus baseline, with those of pairs in which a run has lost put in their place.

    Args:
        differences: float array, (n,); those of pairs in which a run has lost may be anything.
        arm_lost: bool array, (n,): whether the arm's run has lost, as one that diverged.
        baseline_lost: bool array, (n,), the same of the baseline's.
        sign: 1 where higher is better, -1 where lower is.

    Returns:
        (n,): infinite on the side of the other run where one has lost, 0 where both have.
    """
    one, other = np.asarray(arm_lost, dtype=bool), np.asarray(baseline_lost, dtype=bool)
    lost = np.where(one & other, 0.0, np.where(one, -sign * np.inf, sign * np.inf))
    return np.where(one | other, lost, differences)


def censored_differences(
    arm: ArrayLike, baseline: ArrayLike, arm_lengths: ArrayLike, baseline_lengths: ArrayLike
) -> Array:
    """Returns arm minus baseline for times to a target, some of which are censored: the run ended before it got there.

    A censored time is beyond the run's length, nobody knows how far. It is counted at that length, or at the other
    run's time where that is longer, so that a run that did not get there never beats one that did; and two censored
    runs are a tie. So arm and baseline are treated alike, and the sign-flip test stays valid: under no difference the
    two runs of a pair are exchangeable still. But the differences are cut short towards a tie: their mean is a bound at
    most, its interval none of the true ratio, and two very different arms may look alike.

    Args:
        arm: float array, (n,), the arm's times (or their logarithms); NaN where censored.
        baseline: float array, (n,), the baseline's.
        arm_lengths: float array, (n,), how long each of the arm's runs was, in the same units.
        baseline_lengths: float array, (n,), the same of the baseline's.
    """
    one, other = np.asarray(arm, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    filled = np.where(np.isnan(one), np.fmax(arm_lengths, other), one)
    others = np.where(np.isnan(other), np.fmax(baseline_lengths, one), other)
    return np.where(np.isnan(one) & np.isnan(other), 0.0, filled - others)
