"""The losses that `compile` set up, each with its targets and predictions, and the activation behind the predictions.

Private names of Keras, checked on Keras 3.15.1: `CompileLoss._flat_losses`, `LossFunctionWrapper.fn` and `_fn_kwargs`,
and `KerasTensor._keras_history`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support.array_rows import numeric_rows
from onecycle.keras_support.attributes import AttributeOverride
from onecycle.keras_support.gradients import outputs_for
from onecycle.keras_support.model_state import flattened_layers, loss_and_metrics

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

# Layers behind an activation that leave each prediction as it is.
_TRANSPARENT = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Permute, keras.layers.Dropout)


@dataclass(frozen=True)
class LossPart:
    """A compiled loss with what it is computed from.

    Attributes:
        loss: The loss of `compile`, as an object.
        y_true: Its targets in one batch.
        y_pred: Its predictions.
        target: Number of the targets among the leaves of `y`; None if they were made from several.
        output: Number of the predictions among the leaves of the model's outputs.
        weight: The weight of the loss in the sum of all.
    """

    loss: keras.losses.Loss
    y_true: Nested
    y_pred: Nested
    target: int | None
    output: int | None
    weight: float | None

    @property
    def function(self) -> str | None:
        """Name of the function of `keras.losses` that computes the loss, or None for another loss."""
        function, _ = _function_and_settings(self.loss)
        name = getattr(function, "__name__", "")
        return name if function is not None and getattr(keras.losses, name, None) is function else None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that the function is called with, such as `from_logits`."""
        return _function_and_settings(self.loss)[1]

    def values(self) -> NDArray[np.float64] | None:
        """Return the predictions as numbers, or None if they are none."""
        values = numeric_rows(self.y_pred, slice(None))
        return None if values is None else values.astype(np.float64)


def loss_parts(model: keras.Model, batch: tuple[Nested, Nested, Nested]) -> tuple[Nested, list[LossPart]]:
    """Return the model's outputs for a batch, and the losses of `compile` with their targets and predictions.

    No loss is computed. It has to be called where everything is restored afterwards, since the compiled loss is built.

    Args:
        model: A compiled model that has its weights and computes its loss as Keras does.
        batch: (x, y, sample_weight), as `fit` gives it to the model.
    """
    x, y, sample_weight = batch
    outputs = outputs_for(model, x)
    compiled = loss_and_metrics(model)[0]
    if compiled is None or y is None:
        return outputs, []
    parts: list[LossPart] = []
    build, losses = compiled.build, []

    def observe() -> None:
        losses.extend(compiled._flat_losses)
        observed = [one._replace(loss=_observer(one.loss, one.loss_weights, y, outputs, parts)) for one in losses]
        compiled._flat_losses = observed

    def build_and_observe(*structures: Nested) -> None:
        build(*structures)
        observe()

    if compiled.built:
        observe()
    with AttributeOverride(compiled, build=build_and_observe):
        compiled(y, outputs, sample_weight)
    compiled._flat_losses = losses
    return outputs, parts


def output_activation(model: keras.Model, part: LossPart) -> str | None:
    """Return the name of the activation that makes the predictions of a loss, such as "softmax"; None if unknown."""
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if part.output is None:
        return None
    if part.output < len(outputs):
        return _activation_of(outputs[part.output])
    # The last layer of a model of the user's class, if the predictions have its units.
    layers = flattened_layers(model, include_self=False)
    last = layers[-1] if layers else None
    units = getattr(last, "units", None)
    return _name_of(last) if units is not None and units == part.y_pred.shape[-1] else None


def _observer(loss: keras.losses.Loss, weight: float | None, y: Nested, outputs: Nested, parts: list[LossPart]) -> Any:
    targets, predictions = keras.tree.flatten(y), keras.tree.flatten(outputs)

    def observed(y_true: Nested, y_pred: Nested, sample_weight: Nested = None) -> Nested:
        places = [
            next((k for k, leaf in enumerate(leaves) if leaf is one), None)
            for leaves, one in ((targets, y_true), (predictions, y_pred))
        ]
        parts.append(LossPart(loss, y_true, y_pred, places[0], places[1], weight))
        return keras.ops.zeros(())

    return observed


def _function_and_settings(loss: keras.losses.Loss) -> tuple[Any, dict[str, Any]]:
    function: Any = getattr(loss, "fn", None)
    settings = dict(getattr(loss, "_fn_kwargs", {}))
    while isinstance(function, functools.partial):
        function, settings = function.func, {**function.keywords, **settings}
    return function, settings


def _activation_of(output: keras.KerasTensor) -> str | None:
    """Return the name of the activation that makes a symbolic output."""
    history = getattr(output, "_keras_history", None)
    if history is None:
        return None
    operation, tensor = history.operation, history.tensor_index
    if isinstance(operation, keras.Model):
        inside = keras.tree.flatten(getattr(operation, "outputs", None) or [])
        return _activation_of(inside[tensor]) if tensor < len(inside) else None
    name = _name_of(operation)
    passes_on = isinstance(operation, _TRANSPARENT) or (
        name == "linear" and isinstance(operation, keras.layers.Activation)
    )
    if passes_on:
        node = operation._inbound_nodes[history.node_index]
        return _activation_of(node.input_tensors[0])
    return name


def _name_of(operation: object) -> str | None:
    """Return the name of the activation of a layer, or of an operation such as `keras.ops.softmax`."""
    activation = getattr(operation, "activation", None)
    if activation is not None:
        return getattr(activation, "__name__", None)
    name = type(operation).__name__.lower()
    return name if name in ("softmax", "sigmoid") else None
