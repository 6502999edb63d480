"""Whether a higher or a lower value of a metric is better, judged by the metric's name."""

from __future__ import annotations

from typing import Literal

Direction = Literal["max", "min"]

# The words that `mode="auto"` of Keras' callbacks knows, and those of further common metrics.
LOWER_IS_BETTER = (
    *("loss", "error", "mse", "rmse", "mae", "mape", "msle"),
    *("entropy", "hinge", "divergence", "perplexity"),
)
HIGHER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "r2", "iou", "dice", "bleu", "similarity")


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
