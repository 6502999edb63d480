"""The data of the plot of a batch size advice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.results.batch_size import BatchSizeAdvice
from onecycle.suggestions.gradient_noise import relative_times

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BatchSizePicture:
    """A batch size advice, ready to draw.

    Attributes:
        sizes: `(n,)`, the batch sizes.
        times: `(n,)`, expected times to a target, relative to the shortest.
        band: The same at the ends of the interval of the noise scale, as (lowest, highest) of each size.
        samples: `(n,)`, expected samples until a target, relative to the least number; None where it is unknown.
        advised: The batch size that is advised, or None.
        interval: (low, high) of the noise scale.
        title: The advice in a few words.
        caption: The reason.
    """

    sizes: Array
    times: Array
    band: tuple[Array, Array]
    samples: Array | None
    advised: int | None
    interval: tuple[float, float]
    title: str
    caption: str


def batch_size_picture(result: BatchSizeAdvice) -> BatchSizePicture:
    """Return the data of the plot of a batch size advice."""
    ends = [
        relative_times(result.batch_sizes, result.step_seconds, scale)
        for scale in (max(result.interval[0], np.finfo(float).tiny), result.interval[1])
    ]
    curves = np.stack([*ends, result.relative_times])
    title = "Cannot tell" if result.batch_size is None else f"Advised batch size: {result.batch_size}"
    return BatchSizePicture(
        sizes=result.batch_sizes.astype(np.float64),
        times=result.relative_times,
        band=(curves.min(axis=0), curves.max(axis=0)),
        samples=result.relative_samples if np.isfinite(result.noise_scale) and result.noise_scale > 0 else None,
        advised=result.batch_size,
        interval=result.interval,
        title=title,
        caption=result.reason,
    )
