"""Detection of inputs that are clearly not standardized."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from onecycle.keras_support.model_state import flattened_layers
from onecycle.keras_support.training_data import is_arrays

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

_SCALING_LAYERS = (
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.Embedding,
    keras.layers.BatchNormalization,
    keras.layers.Lambda,  # may do anything
)

# Standardized features have a mean of 0 and a deviation of 1, and pixels in [0, 1] less. Raw pixels have 70 to 130.
_LARGEST_PLAUSIBLE = 10.0

_SAMPLE_ROWS = 1024


def unscaled_inputs_message(model: keras.Model, x: Nested) -> str | None:
    """Return a warning about inputs that are clearly not standardized, or None.

    A model that scales its inputs itself is never warned about, and neither are integers in a model that embeds them.

    Args:
        model: The model.
        x: Its inputs, as `Model.fit` takes them. Only arrays are examined.
    """
    if not is_arrays(x) or _scales_inputs(model):
        return None
    embeds = any(isinstance(layer, keras.layers.Embedding) for layer in flattened_layers(model))
    # The kinds of NumPy types: integers may be indices where the model embeds.
    messages = (_message(leaf, "bf" if embeds else "biuf") for leaf in keras.tree.flatten(x))
    return next(filter(None, messages), None)


def _scales_inputs(model: keras.Model) -> bool:
    """Return whether the model begins with an operation that scales or embeds its inputs."""
    # In a functional model that may be no layer, as in `inputs / 255`.
    parts = getattr(model, "operations", None) or flattened_layers(model, include_self=False)
    first = [part for part in parts if not isinstance(part, keras.layers.InputLayer)][:2]
    return any(
        isinstance(part, _SCALING_LAYERS)
        or not isinstance(part, keras.layers.Layer)
        or (isinstance(part, keras.Model) and _scales_inputs(part))
        for part in first
    )


def _message(leaf: Nested, kinds: str) -> str | None:
    if leaf is None or leaf.ndim < 2 or getattr(leaf.dtype, "kind", "f") in "OSU":
        return None
    sample = keras.ops.convert_to_numpy(leaf[:_SAMPLE_ROWS])
    if sample.dtype.kind not in kinds:
        return None
    sample = sample.astype(np.float64).reshape(len(sample), -1)
    deviation, mean = float(np.max(sample.std(axis=0))), float(np.max(np.abs(sample.mean(axis=0))))
    # Written so that a NaN, which is another problem, gives no warning.
    if not max(deviation, mean) > _LARGEST_PLAUSIBLE:
        return None
    return (
        f"The inputs are not standardized: some feature has a mean of {mean:.3g} or a deviation of {deviation:.3g}. "
        "No learning rate then suits all weights, and training may diverge. "
        "Scale them first: x = (x - x.mean(axis=0)) / x.std(axis=0), with the mean and deviation of the training data."
    )
