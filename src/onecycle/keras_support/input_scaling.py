"""What has to be known of a person's data before `fit` sees it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from onecycle.keras_support.training_data import is_arrays


def not_standardised(model: Any, x: Any) -> str | None:
    """A sentence about inputs that are plainly not standardised, or None.

    Integers are left alone where the model embeds them, and so is a model that scales its inputs itself.
    """
    if not is_arrays(x) or _scales_itself(model):
        return None
    embeds = any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())
    troubles = (_trouble(leaf, "bf" if embeds else "biuf") for leaf in keras.tree.flatten(x))
    return next(filter(None, troubles), None)


def _scales_itself(model: Any) -> bool:
    """Whether the model begins with something that scales or embeds its inputs."""
    # In a functional model that may be no layer, as in `inputs / 255`.
    parts = getattr(model, "operations", None) or model._flatten_layers(include_self=False)
    first = [part for part in parts if not isinstance(part, keras.layers.InputLayer)][:2]
    return any(
        isinstance(part, _SCALING)
        or not isinstance(part, keras.layers.Layer)
        or (isinstance(part, keras.Model) and _scales_itself(part))
        for part in first
    )


def _trouble(leaf: Any, kinds: str) -> str | None:
    if leaf is None or leaf.ndim < 2 or getattr(leaf.dtype, "kind", "f") in "OSU":
        return None
    sample = keras.ops.convert_to_numpy(leaf[:1024])
    if sample.dtype.kind not in kinds:
        return None
    sample = sample.astype(np.float64).reshape(len(sample), -1)
    spread, centre = float(np.max(sample.std(axis=0))), float(np.max(np.abs(sample.mean(axis=0))))
    if not max(spread, centre) > _PLAINLY:  # nor where there is a NaN, which is another trouble
        return None
    return (
        f"The inputs are not standardised: some feature has a mean of {centre:.3g} or a deviation of {spread:.3g}. "
        "A learning rate then suits some weights and not others, and training may diverge. "
        "Scale them first: x = (x - x.mean(axis=0)) / x.std(axis=0), with the mean and deviation of the training data."
    )


_SCALING = (
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.Embedding,
    keras.layers.BatchNormalization,
    keras.layers.Lambda,  # may do anything
)


_PLAINLY = 10.0  # standardised features have 0 and 1, pixels in [0, 1] less; raw pixels have 70 to 130
