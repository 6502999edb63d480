"""The resolution of a measure: the distance between neighboring values that it can have."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SAME_VALUE = 1e-6  # relative to the largest value: metrics are computed in float32, which has about 7 digits


def metric_resolution(values: ArrayLike, differences: ArrayLike) -> float:
    """Return the resolution of a metric, as far as its values show it: the smallest distance between two of them.

    The accuracy on 100 rows is a multiple of 0.01. A metric is taken to be continuous if no value and no difference
    occurs twice.

    Args:
        values: Values of the metric in the runs of an arm and of the baseline. Those that are not finite are ignored.
        differences: Their differences, one per seed.

    Returns:
        The resolution, 0 for a continuous metric.
    """
    known, paired = _finite(values), _finite(differences)
    same = SAME_VALUE * float(np.max(np.abs(known), initial=0.0))
    between_values, between_differences = np.diff(np.sort(known)), np.diff(np.sort(paired))
    if not (between_values <= same).any() and not (between_differences <= same).any():
        return 0.0
    distances = np.concatenate([between_values, between_differences, np.abs(paired)])
    return float(np.min(distances[distances > same], initial=math.inf)) if (distances > same).any() else 0.0


def time_resolution(epochs: ArrayLike) -> float:
    """Return the resolution of the logarithm of a time to the target, which is seen at the end of an epoch.

    Args:
        epochs: Epochs to the target of some runs, NaN where it was not reached. The shortest time has the coarsest
            logarithm.
    """
    shortest = float(np.min(_finite(epochs), initial=math.inf))
    return math.log1p(1 / shortest)


def _finite(numbers: ArrayLike) -> Array:
    values = np.ravel(np.asarray(numbers, dtype=np.float64))
    return values[np.isfinite(values)]
