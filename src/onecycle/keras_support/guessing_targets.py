"""The loss of guessing of a regression, from targets in an array."""

from __future__ import annotations

import keras
import numpy as np

from onecycle.keras_support.array_rows import numeric_rows
from onecycle.keras_support.types import Nested

_SQUARED = ("mse", "meansquarederror")
_ABSOLUTE = ("mae", "meanabsoluteerror")


def guessing_loss_of_targets(model: keras.Model, y: Nested) -> float:
    """Return the loss of a regression that predicts the mean of its targets for each row; 0 where it is not known.

    Args:
        model: A compiled model.
        y: The targets; known are those in one array of numbers.
    """
    values = numeric_rows(y, slice(None)) if y is not None and not keras.tree.is_nested(y) else None
    loss = model.loss
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    name = name.replace("_", "").lower()
    if values is None or not len(values) or name not in (*_SQUARED, *_ABSOLUTE):
        return 0.0
    deviations = np.asarray(values, dtype=np.float64) - np.mean(values, axis=0, dtype=np.float64)
    return float(np.mean(np.square(deviations) if name in _SQUARED else np.abs(deviations)))
