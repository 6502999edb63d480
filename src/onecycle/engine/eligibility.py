"""Whether a model's training can be compiled into one program."""

from __future__ import annotations

import keras
import numpy as np

from onecycle.keras_support import compilation, devices, step_graph, training_data
from onecycle.keras_support.model_state import has_unlisted_state
from onecycle.keras_support.train_function import overridden_method
from onecycle.keras_support.types import Nested

MAX_DATA_BYTES = 2**31  # of training data kept on the device


def reason_not_compiled(
    model: keras.Model,
    x: Nested,
    y: Nested,
    sample_weight: Nested = None,
    *,
    methods: tuple[str, ...] = (),
    own_fit: bool = False,
    any_size: bool = False,
) -> str | None:
    """Return why the model's training on this data cannot be compiled into one program.

    Args:
        model: A compiled model.
        x: Training data, as in `fit`.
        y: Targets, as in `fit`.
        sample_weight: Weights of the rows, as in `fit`.
        methods: More methods of the model that must not be overridden, besides those of Keras' training step.
        own_fit: Whether the model may have its own `fit`, which has preprocessed this data.
        any_size: Whether the data may be of any size, since it is not put on the device as a whole.

    Returns:
        The reason as the end of a sentence, or None if the training can be compiled.
    """
    return _reason_of_data((x, y, sample_weight), any_size) or _reason_of_model(model, methods, own_fit)


def reason_validation_not_compiled(validation_data: Nested) -> str | None:
    """Return why evaluation on this validation data cannot be compiled, as the end of a sentence, or None."""
    if validation_data is None:
        return None
    if not (isinstance(validation_data, tuple | list) and training_data.is_arrays(validation_data)):
        return "the validation data is not a tuple of arrays"
    return _reason_of_data(validation_data)


def _reason_of_data(data: Nested, any_size: bool = False) -> str | None:
    if not training_data.is_arrays(data):
        return "the data does not consist of arrays"
    if not training_data.has_dense_arrays(data):
        return "the data is sparse, ragged or not numeric"
    if any_size:
        return None
    if training_data.count_bytes(data) > MAX_DATA_BYTES:
        return f"the data takes more than {MAX_DATA_BYTES / 2**30:g} GiB on the device"
    if any(isinstance(leaf, np.memmap) and training_data.is_large(leaf) for leaf in keras.tree.flatten(data)):
        return "the data is in a file, and too large to be read as a whole"
    return None


def _reason_of_model(model: keras.Model, methods: tuple[str, ...], own_fit: bool) -> str | None:
    overridden = overridden_method(model, *methods, own_fit=own_fit)
    if overridden is not None:
        return f"the model overrides `{overridden}`"
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        # The counter would lag behind the tabulated schedules.
        return "loss scaling skips steps"
    if has_unlisted_state(model):
        return "the model keeps state outside its variables, as a stateful recurrent layer does"
    if devices.is_distributed(model):
        return "the model is distributed"
    if keras.config.is_nnx_enabled():
        return "the layers of the model are Flax NNX modules"
    if model.run_eagerly:
        return "the model runs eagerly"
    if not compilation.has_loops() and (part := step_graph.foreign_part(model)):
        return part
    if compilation.requires_xla() and not model.jit_compile:
        return "the model is not compiled by XLA (`jit_compile` is off)"
    return None
