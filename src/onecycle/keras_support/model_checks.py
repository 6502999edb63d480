"""Checks, before any training, that a model can be trained.

Private names of Keras, checked on Keras 3.15.1: `Model._compile_loss` and `CompileLoss._user_loss`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support import devices
from onecycle.keras_support.model_state import flattened_layers, is_overridden
from onecycle.suggestions.arguments import described

if TYPE_CHECKING:
    from collections.abc import Callable

    from onecycle.keras_support.types import Nested

# Methods by which a model may train without `call`, without a compiled loss, or without its own weights.
_TRAINING = ("train_step", "compute_loss", "compute_loss_and_updates")


def check_model(model: object, x: Nested = None) -> None:
    """Check that a model is one of Keras, compiled and able to compute its outputs.

    Args:
        model: The argument `model`.
        x: The training data, which may have been given in place of the model.

    Raises:
        TypeError: For anything but a model.
        ValueError: For a model that is not compiled, or has neither a `call` nor a `train_step`.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"Argument `model` must be a compiled keras.Model. Received: model={described(model)}{_advice(model, x)}"
        )
    if not model.compiled or getattr(model, "optimizer", None) is None:
        raise ValueError(
            f"Argument `model` must be compiled with an optimizer. Received: model={model.name!r}, which is not. "
            "Call `model.compile(optimizer=..., loss=...)` first."
        )
    if not is_overridden(model, "call") and not _trains_differently(model):
        raise ValueError(
            f"Argument `model` must have a method `call`. Received: model={model.name!r} of class "
            f"{type(model).__name__}, which has none."
        )


def check_training_model(model: keras.Model) -> None:
    """Check a model when its `fit` begins: all of the checks below that need no data.

    Raises:
        ValueError: If the model cannot be trained.
    """
    check_model(model)
    check_trainable(model)
    check_loss(model)


def check_processes() -> None:
    """Check that no other process trains the same model.

    Raises:
        ValueError: If processes of `torch.distributed` run, whose gradients Keras does not average.
    """
    processes = devices.count_separate_processes()
    if processes > 1:
        raise ValueError(
            f"`torch.distributed` runs {processes} processes, and Keras' `fit` would train the model in each of them "
            "alone. Train with `DistributedDataParallel` in a loop of your own, whose rates a schedule gives (see "
            "docs/clusters.md), or in a single process."
        )


def check_trainable(model: keras.Model) -> None:
    """Check that a model has weights to train.

    Raises:
        ValueError: If it has none, or all are frozen.
    """
    layers = flattened_layers(model, include_self=False)
    # Layers that are not built yet have no weights to count.
    trains = model.trainable_variables if model.built else not layers or any(layer.trainable for layer in layers)
    if trains or _trains_differently(model):
        return
    state = "which has no weights"
    if model.weights or not model.built:
        state = "whose layers are all frozen. Set `trainable = True` on those to train, and compile the model again"
    raise ValueError(f"Argument `model` must have trainable weights. Received: model={model.name!r}, {state}.")


def check_loss(model: keras.Model, first_inputs: Callable[[], Nested] | None = None) -> None:
    """Check that a model that is built has a loss. Without one, JAX would train on a loss of zero.

    Args:
        model: The model.
        first_inputs: Returns a batch of inputs, with which `call` may add losses. It is called for a model that is
            compiled without a loss. By default zeros are used, if the model has one input.

    Raises:
        ValueError: If neither `compile` nor the model's layers define a loss.
    """
    if model._compile_loss is not None or _trains_differently(model) or not model.built:
        return
    inputs = _zeros(model) if first_inputs is None else first_inputs()
    if inputs is None or _added_losses(model, inputs):
        return
    raise ValueError(
        f"Argument `model` must have a loss. Received: model={model.name!r}, which has none. "
        "Compile it with `model.compile(optimizer=..., loss=...)`, or call `add_loss` in one of its layers."
    )


def check_targets(model: keras.Model, y: Nested, name: str = "y") -> None:
    """Check that there are targets if the compiled loss needs them.

    Args:
        model: The model.
        y: The targets, for data that consists of arrays.
        name: Name of the argument that should have them, for the error message.

    Raises:
        ValueError: If there are none.
    """
    if y is not None or model._compile_loss is None or _trains_differently(model):
        return
    # In a dict or list, a loss may be None.
    if isinstance(model._compile_loss._user_loss, str) or callable(model._compile_loss._user_loss):
        raise ValueError(
            f"Argument `{name}` must have the targets of the loss with which the model is compiled. Received: None. "
            "An autoencoder has `y=x`; for losses of `add_loss` alone, compile the model without a loss."
        )


def _advice(model: object, x: Nested) -> str:
    if isinstance(x, keras.Model):
        return ". The model comes first, before the data."
    if isinstance(model, type) and issubclass(model, keras.Model):
        return ". Pass an instance of the class."
    return wrapper_advice(model)


def wrapper_advice(model: object) -> str:
    """Return the end of an error message for a Keras model that PyTorch has wrapped; "" for anything else."""
    # `DistributedDataParallel` and `DataParallel` hold the model in `module`, and `torch.compile` in `_orig_mod`.
    for attribute in ("module", "_orig_mod"):
        if isinstance(getattr(model, attribute, None), keras.Model):
            return (
                f". Pass the Keras model inside it, `model.{attribute}`. It is then trained by this process alone, as "
                "with Keras' `fit`."
            )
    return ""


def _trains_differently(model: keras.Model) -> bool:
    return any(is_overridden(model, name) for name in _TRAINING)


def _zeros(model: keras.Model) -> Nested:
    """Return inputs of zeros for a model that knows the shape of its only input; None for others."""
    inputs = list(getattr(model, "inputs", None) or [])
    if len(inputs) != 1:
        return None
    return keras.ops.zeros([size or 1 for size in inputs[0].shape], inputs[0].dtype)


def _added_losses(model: keras.Model, inputs: Nested) -> list[keras.KerasTensor]:
    """Return the losses of regularizers, and those that layers add when they are called. Nothing is changed."""
    trainable = [variable.value for variable in model.trainable_variables]
    frozen = [variable.value for variable in model.non_trainable_variables]
    # It returns (outputs, values of the other variables, losses).
    training = {"training": True} if "training" in inspect.signature(model.call).parameters else {}
    result = model.stateless_call(trainable, frozen, inputs, **training, return_losses=True)
    return list(result[2])
