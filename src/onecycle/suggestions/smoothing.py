"""Smoothing of noisy per-batch losses, and the rule that stops a range test when its loss diverges."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


EMA_DECAY = 0.98  # fastai 2.8.12, `Recorder(beta=0.98)`


WINDOW_SCALE = 0.2  # ours: 8 of 100 points, 19 of 300 (half a decade of the default ramp), 50 of 1000


WINDOW_POWER = 0.8  # the rate at which the best window of a kernel smoother grows (Wand & Jones 1995, section 2.5)


EDGE_NOISES = 3.0  # ours: losses further than this from the local median belong to another regime


NORMAL_MAD = 1.4826  # median absolute deviation -> standard deviation of a normal distribution


def smooth(losses: ArrayLike) -> Array:
    """Returns a smoothed copy of noisy per-batch losses, without lag and without blurring an explosion.

    For each step, the median of a centred window is a first guess, and the answer is the mean of those losses in
    the window that lie within three times the batch noise of it. A single bad batch is thus ignored, and the
    losses of an explosion never leak back into the good region, as they do from any running mean. The window grows
    with the number n of finite losses as n^0.8, so both its noise and the stretch of log rate that it spans shrink
    with n. Scaling or shifting the losses scales or shifts the answer.

    Args:
        losses: float array, (n,), loss of each batch; NaN and infinities are allowed and take no part.

    Returns:
        Float array, (n,); NaN where the loss is not finite.
    """
    values = _vector(losses)
    finite = np.isfinite(values)
    smoothed = np.full(values.shape, np.nan)
    if finite.any():
        smoothed[finite] = _smooth_finite(values[finite])
    return smoothed


def noise_scale(losses: ArrayLike) -> float:
    """Returns the standard deviation of the batch noise, in units of the loss; 0 for fewer than three losses.

    From the median absolute difference of neighbours, so it is robust to outliers and hardly sees the trend, and
    only where the loss is low: an explosion is not noise.
    """
    values = _vector(losses)
    values = values[np.isfinite(values)]
    return _noise(values, _running_median(values, half_window(len(values)))) if len(values) > 2 else 0.0


def half_window(n: int) -> int:
    """Returns how many neighbours on each side `smooth` looks at, for n finite losses; at least 1."""
    return max(1, round(WINDOW_SCALE * math.pow(n, WINDOW_POWER) / 2))


def median_over_repeats(losses: ArrayLike) -> Array:
    """Returns the median curve (n,) of losses (n,) or (repeats, n).

    A repeat that has ended or diverged counts as higher than any number, so the curve ends (in NaN) where half of
    the repeats are gone, and does not fall back to the level of the survivors.
    """
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim == 1:
        return values
    if values.ndim != 2:
        raise ValueError(
            f"Argument `losses` must have shape (n,) or (repeats, n). Received: losses of shape {values.shape}"
        )
    if values.shape[0] == 0:
        return np.full(values.shape[1], np.nan)
    with np.errstate(invalid="ignore"):  # the mean of two infinities of a middle pair
        middle = np.median(np.where(np.isfinite(values), values, np.inf), axis=0)
    return np.where(np.isfinite(middle), middle, np.nan)


def exponential_moving_average(losses: ArrayLike, decay: float = EMA_DECAY) -> Array:
    """Returns the debiased exponential moving average that fastai's and Lightning's rules read.

    average_i = decay * average_(i-1) + (1 - decay) * loss_i, divided by 1 - decay^(i+1). It lags by about
    decay / (1 - decay) steps: 49 for 0.98, half of a 100-step ramp. `smooth` does not.

    Args:
        losses: float array, (n,); the answer is NaN from the first non-finite loss on.
        decay: float in [0, 1), weight of the past.
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
    middle = _running_median(values, half)
    # The noise may fall with the loss, so each step has its own; an explosion is not yet half of its window.
    low = _noise(values, middle)
    calm = max(low, _spread(np.diff(values)[: int(np.argmin(middle))]))
    local = NORMAL_MAD * _running_median(np.abs(values - middle), half)
    reach = EDGE_NOISES * np.clip(local, low, calm)
    windows = _windows(values, np.full(len(values), half), half)
    alike = np.abs(windows - middle[:, None]) <= reach[:, None]  # False for the NaN beyond the ends
    count = alike.sum(axis=1)
    total = np.where(alike, windows - middle[:, None], 0.0).sum(axis=1)  # about the middle: exact for a constant
    return np.asarray(middle + total / np.maximum(count, 1))


def _running_median(values: Array, half: int) -> Array:
    """Centred medians whose windows shrink towards both ends, so that an explosion in the last steps is seen."""
    room = np.arange(len(values))
    reach = np.clip(np.minimum(room, room[::-1]), 1, half)
    return np.asarray(np.nanmedian(_windows(values, reach, half), axis=1))


def _windows(values: Array, reach: NDArray[np.int_], half: int) -> Array:
    """Row i holds the values at most reach[i] steps from i, in columns for -half ... half; NaN elsewhere."""
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.where(np.abs(np.arange(-half, half + 1)) <= reach[:, None], windows, np.nan)


def _noise(values: Array, middle: Array) -> float:
    # Differences of neighbours, not residuals: a median of three points equals one of them a third of the time.
    low = (middle <= np.median(middle))[1:]
    return _spread(np.diff(values)[low])


def _spread(moves: Array) -> float:
    """The standard deviation of values whose differences these are."""
    return NORMAL_MAD * float(np.median(np.abs(moves))) / math.sqrt(2) if len(moves) else 0.0
