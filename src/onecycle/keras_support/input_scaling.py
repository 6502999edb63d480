"""Detection of inputs that are clearly not standardized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support.array_rows import numeric_rows
from onecycle.keras_support.data_adapters import is_arrays
from onecycle.keras_support.first_batch import first_batch
from onecycle.keras_support.model_state import flattened_layers

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def _layers(*names: str) -> tuple[type, ...]:
    """Return the layers of these names that this Keras has."""
    return tuple(getattr(keras.layers, name) for name in names if hasattr(keras.layers, name))


# Layers after which the scale of the inputs does not matter.
_SCALING_LAYERS = _layers(
    *("Normalization", "Rescaling", "Discretization", "CategoryEncoding", "IntegerLookup", "StringLookup", "Hashing"),
    *("HashedCrossing", "TextVectorization", "Embedding", "BatchNormalization", "LayerNormalization"),
    *("GroupNormalization", "RMSNormalization", "UnitNormalization"),
    "Lambda",  # may do anything
)
# Layers that leave the scale as it is, and are often followed by one of the above.
_REARRANGING_LAYERS = _layers(
    *("InputLayer", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D", "Cropping3D"),
    *("Flatten", "Reshape", "Permute", "Masking", "Dropout", "GaussianNoise", "Resizing", "CenterCrop", "RandomCrop"),
    *("RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomContrast", "RandomBrightness"),
)

# Standardized features have a mean of 0 and a deviation of 1, and pixels in [0, 1] less. Raw pixels have 70 to 130.
_LARGEST_PLAUSIBLE = 10.0
# Counts, as of words, are mostly 0, and most of the others are small. A rescaling would make them dense.
_MOSTLY_ZERO, _SMALL_COUNT = 0.5, 3

_SAMPLE_ROWS = 1024

SCALING_REMEDY = (
    "Scale them first: x = (x - x.mean(axis=0)) / x.std(axis=0), with the mean and deviation of the training data."
)


def unscaled_inputs_message(model: keras.Model, x: Nested, *, read: bool = False) -> str | None:
    """Return a warning about inputs that are clearly not standardized, with the remedy, or None.

    Args:
        model: The model.
        x: Its inputs.
        read: As in `unscaled_inputs`.
    """
    description = unscaled_inputs(model, x, read=read)
    return None if description is None else f"{description} {SCALING_REMEDY}"


def unscaled_inputs(model: keras.Model, x: Nested, *, read: bool = False) -> str | None:
    """Return a description of inputs that are clearly not standardized, or None.

    A model that scales its inputs itself is never warned about, and neither are integers in a model that embeds them,
    sparse arrays or small counts.

    Args:
        model: The model.
        x: Its inputs, as `Model.fit` takes them: arrays and tables in any nesting, or a data set.
        read: Whether to read the first batch of a data set. By default, only arrays and tables are examined.
    """
    if not is_arrays(x):
        if not read:
            return None
        x = first_batch(x)[0]
    if _scales_inputs(model):
        return None
    embeds = any(isinstance(layer, keras.layers.Embedding) for layer in flattened_layers(model))
    # The kinds of NumPy types: integers may be indices where the model embeds.
    messages = (_message(leaf, "bf" if embeds else "biuf") for leaf in keras.tree.flatten(x))
    return next(filter(None, messages), None)


def _scales_inputs(model: keras.Model) -> bool:
    """Return whether the model begins with an operation that scales or embeds its inputs."""
    # In a functional model that may be no layer, as in `inputs / 255`.
    parts = getattr(model, "operations", None)
    if not parts:
        # The order in which a model of the user's class calls its layers is unknown.
        parts = flattened_layers(model, include_self=False)
        return any(isinstance(part, _SCALING_LAYERS) for part in parts)
    first = [part for part in parts if not isinstance(part, _REARRANGING_LAYERS)][:2]
    return any(
        isinstance(part, _SCALING_LAYERS)
        or not isinstance(part, keras.layers.Layer)
        or (isinstance(part, keras.Model) and _scales_inputs(part))
        for part in first
    )


def _message(leaf: Nested, kinds: str) -> str | None:
    sample = _sample(leaf, kinds)
    if sample is None or _are_counts(sample):
        return None
    # NaN and infinity are another problem, and the other features show the scale.
    sample = sample[:, np.isfinite(sample).all(axis=0)]
    deviation = float(np.max(sample.std(axis=0), initial=0.0))
    mean = float(np.max(np.abs(sample.mean(axis=0)), initial=0.0))
    if max(deviation, mean) <= _LARGEST_PLAUSIBLE:
        return None
    return (
        f"The inputs are not standardized: some feature has a mean of {mean:.3g} or a deviation of {deviation:.3g}. "
        "No learning rate then suits all weights, and training may diverge."
    )


def _sample(leaf: Nested, kinds: str) -> NDArray[np.float64] | None:
    """Return (rows, features) of the first rows; None for other kinds of data and for what may be indices or labels."""
    sample: NDArray[Any] | None = None if leaf is None else numeric_rows(leaf, slice(_SAMPLE_ROWS))
    if sample is None or not sample.size or sample.dtype.kind not in kinds:
        return None
    # A single column of integers may be a category.
    if sample.ndim == 1 and sample.dtype.kind != "f":
        return None
    return sample.astype(np.float64).reshape(len(sample), -1)


def _are_counts(sample: NDArray[np.float64]) -> bool:
    """Return whether the features are counts of which most are 0 and most others small, as of words in texts."""
    present = sample[sample != 0]
    if len(present) > (1 - _MOSTLY_ZERO) * sample.size or not len(present):
        return False
    return bool((present > 0).all() and (present % 1 == 0).all() and np.median(present) <= _SMALL_COUNT)
