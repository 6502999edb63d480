"""Whether training batches come in the order of their targets, from a number made from the targets of each row."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_BATCHES = 8  # with fewer, chance and order look alike
BLOCKS = 10  # consecutive parts of equal length, whose means drift in ordered data
# The part of the variance of the targets that lies between the parts or batches; chance is left out of it. Clearly more
# than in batches that hold some rows of each group, which is done on purpose.
ORDERED_SHARE, PURE_SHARE = 0.2, 0.5
DEVIATIONS = 6.0  # of chance; one in a thousand million


class Order(Enum):
    """How the batches of a run differ in their targets. The value is a sentence."""

    SORTED = (
        "The data comes in the order of its targets: the batches at the beginning have other targets than later ones."
    )
    MIXED = (
        "The data comes in the order of its targets. The range test was repeated on rows from all over it, in random "
        "order."
    )
    PURE = "The targets within a batch are nearly the same, and differ between batches: the data was sorted."
    CONSTANT = "All targets that were read are the same."


def order_of_batches(means: Array, variances: Array, rows: Array) -> Order | None:
    """Return how the targets of consecutive batches differ, or None if they look shuffled.

    Under any shuffling, the means of batches and of longer parts vary by chance only, which the variance of the rows
    predicts. The test needs no other assumption on the targets, which may be rare classes.

    Args:
        means: (n,) mean over the rows of each batch.
        variances: (n,) variance within each batch.
        rows: (n,) number of rows of each batch.
    """
    usable = np.isfinite(means) & np.isfinite(variances) & (rows > 0)
    means, variances, rows = means[usable], np.maximum(variances[usable], 0.0), rows[usable]
    if len(means) < MIN_BATCHES:
        return None
    center = np.average(means, weights=rows)
    within, between = float(rows @ variances), float(rows @ (means - center) ** 2)
    # Rounding in float32.
    if within + between <= 1e-10 * float(rows @ means**2) or within + between == 0:
        return Order.CONSTANT
    parts = np.array_split(np.arange(len(means)), min(BLOCKS, len(means) // 2))
    sizes = np.array([rows[part].sum() for part in parts])
    centers = np.array([np.average(means[part], weights=rows[part]) for part in parts])
    drift = float(sizes @ (centers - center) ** 2)
    total = within + between
    if _exceeds_chance(drift / total, len(parts), rows.sum(), ORDERED_SHARE):
        return Order.SORTED
    return Order.PURE if _exceeds_chance(between / total, len(means), rows.sum(), PURE_SHARE) else None


def _exceeds_chance(share: float, groups: int, rows: float, threshold: float) -> bool:
    """Return whether the share of the variance between groups of rows is large, and larger than by chance."""
    degrees, rest = groups - 1, rows - groups
    if rest <= 0:
        return False
    # Less what chance puts there, as in an adjusted R squared.
    adjusted = 1 - (1 - share) * (rows - 1) / rest
    # The variance between shuffled groups is distributed like chi squared; its cube root is nearly normal.
    ratio = share * (rows - 1) / degrees
    spread = 2 / (9 * degrees)
    return adjusted > threshold and (ratio ** (1 / 3) - (1 - spread)) / spread**0.5 > DEVIATIONS
