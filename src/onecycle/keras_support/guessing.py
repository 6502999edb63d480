"""The loss of guessing, as far as the loss function says what it is."""

from __future__ import annotations

import math

import keras

_CATEGORICAL = ("categoricalcrossentropy", "sparsecategoricalcrossentropy")
_BINARY = ("binarycrossentropy",)


def guessing_loss(model: keras.Model) -> float:
    """Return the loss of a classifier that finds all classes equally probable; 0 where that is not known.

    Args:
        model: A compiled model.
    """
    loss = model.loss
    if isinstance(loss, str):
        name = loss
    elif isinstance(loss, keras.losses.Loss):
        name = type(loss).__name__
    else:
        name = getattr(loss, "__name__", "")
    name = name.replace("_", "").lower()
    if name in _BINARY:
        return math.log(2)
    shape = getattr(model, "output_shape", None) if getattr(model, "outputs", None) else None
    if name not in _CATEGORICAL or not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return 0.0
    return math.log(max(shape[-1], 2))
