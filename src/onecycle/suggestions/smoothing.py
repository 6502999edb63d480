"""Smoothing of noisy per-batch losses, and an estimate of their noise."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle.suggestions.arguments import check_numbers

Array = NDArray[np.float64]

EMA_DECAY = 0.98  # fastai 2.8.12, `Recorder(beta=0.98)`
WINDOW_SCALE = 0.2  # ours: 8 of 100 points, 19 of 300 (half a decade of the default ramp), 50 of 1000
WINDOW_POWER = 0.8  # growth of the optimal window of a kernel smoother (Wand & Jones 1995, section 2.5)
OUTLIER_DEVIATIONS = 3.0  # ours: losses further than this from the local median are left out of the local mean
MAX_BLOCK = 2**20  # numbers in the windows that are in memory at a time
MAD_TO_DEVIATION = 1.4826  # from the median absolute deviation to the standard deviation of a normal distribution


def smooth(losses: ArrayLike) -> Array:
    """Return a smoothed copy of noisy per-batch losses that neither lags nor blurs the blow-up.

    At each step, the median of a centered window is a first estimate. The result is the mean of those losses in the
    window that lie within three standard deviations of the batch noise from that median. So a single bad batch has no
    effect, and the losses after the blow-up do not leak into the steps before it, as they do in a running mean. The
    window grows as n^0.8 with the number n of finite losses, so with more steps both the noise and the range of
    learning rates that a window covers shrink. Scaling or shifting the losses scales or shifts the result.

    Args:
        losses: Float array, `(n,)`, loss of each batch. NaN and infinities are allowed and ignored.

    Returns:
        Float array, `(n,)`; NaN where the loss is not finite.

    Raises:
        ValueError: If `losses` is not one-dimensional.
    """
    values = _vector(losses)
    finite = np.isfinite(values)
    smoothed = np.full(values.shape, np.nan)
    if finite.any():
        smoothed[finite] = _smooth_finite(values[finite])
    return smoothed


def noise_scale(losses: ArrayLike) -> float:
    """Return the standard deviation of the batch noise in units of the loss; 0 for fewer than three losses.

    The estimate is the median absolute difference of neighbors, which is robust to outliers and hardly depends on
    the trend. It uses only the lower half of the curve, since the rise after the blow-up is not noise.

    Args:
        losses: Float array, `(n,)`, loss of each batch. NaN and infinities are allowed and ignored.
    """
    values = _vector(losses)
    values = values[np.isfinite(values)]
    return _noise(values, _running_median(values, half_window(len(values)))) if len(values) > 2 else 0.0


def half_window(n: int) -> int:
    """Return the number of neighbors on each side that `smooth` uses for n finite losses; at least 1."""
    return max(1, round(WINDOW_SCALE * math.pow(n, WINDOW_POWER) / 2))


def median_over_repeats(losses: ArrayLike) -> Array:
    """Return the median curve of repeated runs.

    A repeat that has ended or diverged counts as larger than any number. So the curve ends (in NaN) where half of the
    repeats have ended, instead of falling back to the level of the remaining ones.

    Args:
        losses: Float array, `(n,)` or `(repeats, n)`. One-dimensional losses are returned as they are.

    Raises:
        ValueError: If `losses` has more than two dimensions.
    """
    values = check_numbers("losses", losses)
    if values.ndim == 1:
        return values
    if values.ndim != 2:
        raise ValueError(
            f"Argument `losses` must have shape (n,) or (repeats, n). Received: losses of shape {values.shape}"
        )
    if values.shape[0] == 0:
        return np.full(values.shape[1], np.nan)
    with np.errstate(invalid="ignore"):  # the middle pair may be two infinities, whose mean warns
        middle = np.median(np.where(np.isfinite(values), values, np.inf), axis=0)
    return np.where(np.isfinite(middle), middle, np.nan)


def exponential_moving_average(losses: ArrayLike, decay: float = EMA_DECAY) -> Array:
    """Return the debiased exponential moving average that the rules of fastai and Lightning use.

    average_i = decay * average_(i-1) + (1 - decay) * loss_i, divided by 1 - decay^(i+1). It lags by about
    decay / (1 - decay) steps: 49 for 0.98, half of a 100-step ramp. `smooth` does not lag.

    Args:
        losses: Float array, `(n,)`. The average is NaN from the first non-finite loss on.
        decay: Weight of the past, in [0, 1).

    Raises:
        ValueError: If `decay` is not in [0, 1) or `losses` is not one-dimensional.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"Argument `decay` must be in [0, 1). Received: decay={decay}")
    average, averages = 0.0, []
    for count, loss in enumerate(_vector(losses), start=1):
        average = decay * average + (1 - decay) * loss if np.isfinite(loss) else np.nan
        averages.append(average / (1 - decay**count))
    return np.asarray(averages, dtype=np.float64)


def _vector(losses: ArrayLike) -> Array:
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"Argument `losses` must have shape (n,). Received: losses of shape {values.shape}")
    return values


def _smooth_finite(values: Array) -> Array:
    half = half_window(len(values))
    medians = _running_median(values, half)
    # The noise may shrink with the loss, so each step has its own estimate. The estimate of the whole curve bounds it
    # from below; the noise before the minimum bounds it from above, so that the rise after the blow-up is no noise.
    lowest = _noise(values, medians)
    highest = max(lowest, _deviation(np.diff(values)[: int(np.argmin(medians))]))
    local = MAD_TO_DEVIATION * _running_median(np.abs(values - medians), half)
    tolerance = OUTLIER_DEVIATIONS * np.clip(local, lowest, highest)
    means = np.empty(len(values))
    for rows in _blocks(len(values), half):
        differences = _windows(values, half, rows) - medians[rows, None]
        inliers = np.abs(differences) <= tolerance[rows, None]  # False for the NaN beyond the ends
        # The mean of differences from the median is exact for a constant loss.
        total = np.where(inliers, differences, 0.0).sum(axis=1)
        means[rows] = medians[rows] + total / np.maximum(inliers.sum(axis=1), 1)
    return means


def _running_median(values: Array, half: int) -> Array:
    """Return centered medians. The windows shrink towards both ends, so a blow-up in the last steps is visible."""
    medians = np.empty(len(values))
    for rows in _blocks(len(values), half):
        windows, steps = _windows(values, half, rows), np.arange(rows.start, rows.stop)
        reach = np.clip(np.minimum(steps, len(values) - 1 - steps), 1, half)
        if (reach == half).all() and not np.isnan(windows).any():
            medians[rows] = np.median(windows, axis=1)  # much faster than with NaN
        else:
            near = np.abs(np.arange(-half, half + 1)) <= reach[:, None]
            medians[rows] = np.nanmedian(np.where(near, windows, np.nan), axis=1)
    return medians


def _blocks(steps: int, half: int) -> list[slice]:
    """Return blocks of steps whose windows take little memory: the ends of the curve, and what is between them."""
    size = max(1, MAX_BLOCK // (2 * half + 1))
    ends = sorted({0, min(half, steps), max(steps - half, 0), steps})
    starts = [start for first, last in itertools.pairwise(ends) for start in range(first, last, size)]
    return [slice(start, stop) for start, stop in itertools.pairwise([*starts, steps])]


def _windows(values: Array, half: int, rows: slice) -> Array:
    """Return the values at most `half` steps from each step of a block: `(rows, 2 * half + 1)`, NaN beyond the ends."""
    padded = np.pad(values[max(rows.start - half, 0) : rows.stop + half], (
        max(half - rows.start, 0), max(rows.stop + half - len(values), 0),
    ), constant_values=np.nan)  # fmt: skip
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)


def _noise(values: Array, medians: Array) -> float:
    # From differences of neighbors and not from residuals: a median of three points is one of them, so a third of the
    # residuals would be 0.
    low = (medians <= np.median(medians))[1:]
    return _deviation(np.diff(values)[low])


def _deviation(differences: Array) -> float:
    """Return the standard deviation of independent values from the differences of neighbors."""
    if not len(differences):
        return 0.0
    return MAD_TO_DEVIATION * float(np.median(np.abs(differences))) / math.sqrt(2)
