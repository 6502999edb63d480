"""The gradient noise scale: how many rows a batch needs for its gradient to be more signal than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.9  # of the interval
BOOTSTRAPS = 2000
MIN_BATCHES = 8


@dataclass(frozen=True)
class NoiseScale:
    """An estimate of the noise scale tr(S) / |G|^2, where G is the gradient and S the covariance of that of one row.

    Attributes:
        value: The noise scale in rows; infinite where no gradient is visible behind the noise.
        interval: (low, high) of the bootstrap at a level of 0.9. `high` may be infinite.
    """

    value: float
    interval: tuple[float, float]


def gradient_noise_scale(products: ArrayLike, rows: int, *, seed: int = 0) -> NoiseScale:
    """Return the noise scale from the gradients of batches of equal size at the same weights, or at several points.

    The squared norm of the gradient is estimated from products of different batches, whose noise is independent, so
    that both parts are free of bias: |G|^2 is the mean of g_i g_j over i != j, and tr(S) is `rows` (mean |g_i|^2 -
    |G|^2). Of several points of a training, both parts are the means over the points. The bootstrap draws batches of
    each point with replacement, and leaves out the products of a batch with itself.

    Args:
        products: Float array, (n, n) or (points, n, n), the products g_i g_j of the gradients of n batches at the same
            weights.
        rows: Rows of each batch.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: For fewer than 8 batches, or products that are not finite.

    References:
        S. McCandlish, J. Kaplan, D. Amodei et al., An empirical model of large-batch training (2018),
        arXiv:1812.06162, appendix A.1. There, the two parts come from two batch sizes.
    """
    given = np.asarray(products, dtype=np.float64)
    points = given[None] if given.ndim == 2 else given
    n = points.shape[-1]
    if given.ndim not in (2, 3) or points.shape[1:] != (n, n) or n < MIN_BATCHES or not np.isfinite(points).all():
        raise ValueError(
            f"Argument `products` must be a finite array (n, n) with n >= {MIN_BATCHES}. Received: {given.shape}"
        )
    random = np.random.default_rng(seed)
    drawn = [random.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS).astype(np.float64) for _ in points]
    values = _scales(points, drawn, rows)
    tail = (1 - LEVEL) / 2
    # "inverted_cdf" takes one of the values, as a mean with an infinite one would be NaN.
    low, high = np.quantile(values, (tail, 1 - tail), method="inverted_cdf")
    (value,) = _scales(points, [np.ones((1, n))] * len(points), rows)
    return NoiseScale(float(value), (float(low), float(high)))


def relative_samples(batch_sizes: ArrayLike, scale: float) -> NDArray[np.float64]:
    """Return how many rows training reads until a target with each batch size, relative to the least possible number.

    Args:
        batch_sizes: (n,) the batch sizes.
        scale: The noise scale B. The number is 1 + batch size / B, as in section 2.2 of the paper above.
    """
    return 1 + np.asarray(batch_sizes, dtype=np.float64) / scale


def relative_times(batch_sizes: ArrayLike, step_seconds: ArrayLike, scale: float) -> NDArray[np.float64]:
    """Return how long training takes until a target with each batch size, relative to the fastest one.

    Args:
        batch_sizes: (n,) the batch sizes.
        step_seconds: (n,) seconds of a step with each.
        scale: The noise scale; it may be infinite.
    """
    sizes, seconds = np.asarray(batch_sizes, dtype=np.float64), np.asarray(step_seconds, dtype=np.float64)
    # Steps are proportional to 1 + scale / size.
    times = seconds / sizes if np.isinf(scale) else seconds * (1 + scale / sizes)
    return np.asarray(times / times.min())


def _scales(points: NDArray[np.float64], weights: Sequence[NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    """Return the noise scale for each row of weights, (m, n) for each point; infinite where |G|^2 is not above 0."""
    parts = np.array([_parts(matrix, one, rows) for matrix, one in zip(points, weights, strict=True)])
    signal, noise = parts.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(signal > 0, noise / signal, np.inf)


def _parts(matrix: NDArray[np.float64], weights: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return |G|^2 and tr(S) of one point for each row of weights, (2, m)."""
    own = np.diagonal(matrix)
    count = weights.sum(axis=1)
    pairs = count**2 - (weights**2).sum(axis=1)
    signal = (((weights @ matrix) * weights).sum(axis=1) - (weights**2) @ own) / pairs
    return np.stack([signal, rows * np.maximum(weights @ own / count - signal, 0.0)])
