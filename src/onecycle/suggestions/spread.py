"""How much a suggestion varies between range tests of the same model with other seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# Standard deviation of log10 of a rule's suggestion between seeds, on the tuning tasks of
# studies/2026-11-23_picking_the_rate (spread.md).
DEVIATIONS = {
    "one_cycle": 0.152, "blow_up": 0.152, "minimum": 0.199, "steepest": 0.175, "valley": 0.136, "slide": 0.124,
}  # fmt: skip
PRIOR_WEIGHT = 4.0  # ours: degrees of freedom that the study's deviation counts for beside that of the repeats
NORMAL_QUANTILE = 1.96  # of 95 %


def suggestion_interval(
    rule: str, learning_rate: float | None, repeated: Sequence[float | None] = ()
) -> tuple[float, float] | None:
    """Return the interval in which another range test, with another seed, would suggest a rate.

    In logarithms, half its width is 1.96 times the standard deviation of the difference between two such tests. That of
    a single test is the rule's in the study, and with repeats the mean of both variances, weighted by their degrees of
    freedom. On the study's judged tasks, the interval of a single `one_cycle` held the suggestion of another seed in
    82 % of the pairs. It says nothing on how far the suggestion is from the best rate.

    Args:
        rule: Name of the rule.
        learning_rate: The suggested rate, > 0, or None.
        repeated: What the rule suggests for each repeat alone, if there are repeats. None where it suggests nothing.

    Returns:
        (low, high), or None without a suggestion or for a rule that the study does not have.
    """
    deviation = DEVIATIONS.get(rule)
    if learning_rate is None or deviation is None:
        return None
    logs = [math.log10(rate) for rate in repeated if rate is not None]
    if len(logs) > 1:
        degrees = len(logs) - 1
        variance = (PRIOR_WEIGHT * deviation**2 + degrees * float(np.var(logs, ddof=1))) / (PRIOR_WEIGHT + degrees)
        deviation = math.sqrt(variance / len(logs))
    factor = 10 ** (NORMAL_QUANTILE * math.sqrt(2) * deviation)
    return learning_rate / factor, learning_rate * factor
