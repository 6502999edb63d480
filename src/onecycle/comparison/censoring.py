"""Differences of pairs in which a run has no value: it diverged, or it never reached the target."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def fill_failed_pairs(differences: ArrayLike, arm_failed: ArrayLike, baseline_failed: ArrayLike, sign: float) -> Array:
    """Replace the differences of pairs in which a run failed.

    Args:
        differences: Float array of shape (n,), arm minus baseline. Entries of pairs with a failed run are ignored.
        arm_failed: Bool array of shape (n,), whether the arm's run failed, for example by diverging.
        baseline_failed: Bool array of shape (n,), the same for the baseline.
        sign: 1 where higher is better, -1 where lower is better.

    Returns:
        Float array of shape (n,): infinite in favor of the other run where one run failed, 0 where both failed.
    """
    arm, baseline = np.asarray(arm_failed, dtype=bool), np.asarray(baseline_failed, dtype=bool)
    filled = np.where(arm & baseline, 0.0, np.where(arm, -sign * np.inf, sign * np.inf))
    return np.where(arm | baseline, filled, differences)


def censored_differences(
    arm: ArrayLike, baseline: ArrayLike, arm_lengths: ArrayLike, baseline_lengths: ArrayLike
) -> Array:
    """Return arm minus baseline for times to a target, where a run may end before it reaches the target.

    The true time of such a censored run is unknown and longer than the run. It is counted as the length of the run, or
    as the other run's time where that is longer, so that a run which missed the target never beats one that reached it.
    Two censored runs are a tie. Arm and baseline are treated alike, so the sign-flip test stays valid: without a
    difference the two runs of a pair are still exchangeable. But the differences are biased towards a tie: their mean
    is at most a bound, the interval of the mean does not cover the true ratio, and two very different arms may look
    alike.

    Args:
        arm: Float array of shape (n,), the arm's times or their logarithms. NaN where censored.
        baseline: Float array of shape (n,), the baseline's times.
        arm_lengths: Float array of shape (n,), the length of each of the arm's runs, in the same unit.
        baseline_lengths: Float array of shape (n,), the lengths of the baseline's runs.

    Returns:
        Float array of shape (n,), finite.
    """
    ours, theirs = np.asarray(arm, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    # `fmax` ignores the NaN of the other run, if that one is censored too.
    arm_times = np.where(np.isnan(ours), np.fmax(arm_lengths, theirs), ours)
    baseline_times = np.where(np.isnan(theirs), np.fmax(baseline_lengths, ours), theirs)
    both = np.isnan(ours) & np.isnan(theirs)
    return np.where(both, 0.0, arm_times - baseline_times)
