"""Whether a model's training can be one compiled program."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from onecycle.keras_support import backends, compilation, training_data
from onecycle.keras_support.model_state import recurrent_states, trains_through_nnx
from onecycle.keras_support.train_function import method_of_ones_own

MOST_BYTES = 2**31  # of data kept on the device


def unsuited(model: Any, x: Any, y: Any, *others: str) -> str | None:
    """Why a model's training on these data cannot be one compiled program, as the end of a sentence; None if it can.

    Args:
        others: Further methods of the model that must be Keras' own.
    """
    if not compilation.exist():
        return f"{backends.name()} has no loop over training steps that could be compiled"
    data = _unsuited_data(x, y)
    if data is not None:
        return data
    own = method_of_ones_own(model, *others)
    if own is not None:
        return f"the model's `{own}` is not Keras' own"
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        return "loss scaling skips steps"
    if recurrent_states(model):
        return "a layer keeps its states from batch to batch"
    if backends.is_distributed(model) or trains_through_nnx():
        return "the model is distributed or made of Flax modules"
    if model.run_eagerly:
        return "the model is to be run eagerly"
    if compilation.need_xla() and not model.jit_compile:
        return "the model is not to be compiled by XLA"
    return None


def _unsuited_data(x: Any, y: Any) -> str | None:
    if not training_data.is_arrays(x) or not (y is None or training_data.is_arrays(y)):
        return "the data are not arrays"
    leaves = [leaf for leaf in keras.tree.flatten((x, y)) if leaf is not None]
    if not all(hasattr(leaf, "__array__") for leaf in leaves):
        return "the data are sparse or ragged"
    if any(keras.backend.standardize_dtype(leaf.dtype) == "string" or len(leaf.shape) < 1 for leaf in leaves):
        return "the data hold strings or single values"
    if sum(int(np.prod(leaf.shape)) * 4 for leaf in leaves) > MOST_BYTES:
        return "the data are too large to be kept on the device"
    return None
