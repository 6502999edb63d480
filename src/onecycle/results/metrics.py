"""Whether a higher or a lower value of a metric is better, and which values reach a target."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Direction = Literal["max", "min"]

# The words that Keras' callbacks recognize with `mode="auto"`, and those of other common metrics.
LOWER_IS_BETTER = (
    *("loss", "error", "mse", "rmse", "mae", "mape", "msle"),
    *("entropy", "hinge", "divergence", "perplexity"),
)
HIGHER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "r2", "iou", "dice", "bleu", "similarity")


def check_mode(mode: str) -> str:
    """Return the mode of a metric, "auto", "max" or "min".

    Raises:
        ValueError: For another mode.
    """
    if mode not in ("auto", "max", "min"):
        raise ValueError(f'Argument `mode` must be "auto", "max" or "min". Received: mode={mode!r}')
    return mode


def reaches(values: ArrayLike, target: float, mode: str) -> NDArray[np.bool_]:
    """Return whether each value is at least as good as the target; NaN never is.

    Args:
        values: One or more values of a metric.
        target: The value to reach.
        mode: "max" where a higher value is better, "min" where a lower one is.
    """
    return np.asarray(values) >= target if mode == "max" else np.asarray(values) <= target


def metric_direction(name: str) -> Direction | None:
    """Return "max" where a higher value of the metric is better, "min" where a lower one is, None for other names.

    Where a name contains words of both kinds, lower is better.

    Args:
        name: Name of the metric, with or without the prefix `val_`. Case does not matter.
    """
    words = name.lower().removeprefix("val_")
    if any(word in words for word in LOWER_IS_BETTER):
        return "min"
    if any(word in words for word in HIGHER_IS_BETTER):
        return "max"
    return None
