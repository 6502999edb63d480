"""The head of a model, which is trained alone before the rest is fine-tuned, and what comes before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import keras

from onecycle.keras_support.graph import layers_before_outputs
from onecycle.keras_support.model_state import flattened_layers
from onecycle.suggestions.arguments import described

HeadArgument: TypeAlias = keras.layers.Layer | str | Sequence[keras.layers.Layer | str] | None

_SHOWN = 12  # names in an error message


@dataclass(frozen=True)
class Head:
    """The two parts of a model.

    Attributes:
        layers: The layers of the head.
        normalizations: The BatchNormalization layers before the head.
    """

    layers: tuple[keras.layers.Layer, ...]
    normalizations: tuple[keras.layers.Layer, ...]


def find_head(model: keras.Model, head: HeadArgument) -> Head:
    """Return the parts of a model that is built.

    Without an argument, the head is what has weights and comes after the last model inside the model; without a model
    inside, the last layer with weights, for each output.

    Args:
        model: The model.
        head: A layer, its name, or a list of these; or None.

    Raises:
        TypeError, ValueError: If the argument is no layer of the model, or the head or what comes before it has no
            weights to train.
    """
    layers = _last_layers(model) if head is None else tuple(_named(model, head))
    inside = {id(one) for layer in layers for one in flattened_layers(layer)}
    kept = {id(variable) for layer in layers for variable in layer.variables}
    names = ", ".join(repr(layer.name) for layer in layers)
    if not any(variable.trainable for layer in layers for variable in layer.variables):
        raise ValueError(f"Argument `head` must have weights to train. Received: {names or 'no layer'}")
    before = [layer for layer in flattened_layers(model) if id(layer) not in inside]
    normalizations = tuple(layer for layer in before if isinstance(layer, keras.layers.BatchNormalization))
    fixed = {id(variable) for layer in normalizations for variable in layer.variables}
    rest = [variable for variable in model.variables if id(variable) not in kept]
    if not any(id(variable) not in fixed and variable.trainable for variable in rest):
        raise ValueError(_no_backbone(model, names, frozen=bool({id(one) for one in model.weights} - kept)))
    return Head(layers, normalizations)


def _no_backbone(model: keras.Model, names: str, *, frozen: bool) -> str:
    if not frozen:
        return (
            f"The model {model.name!r} is all head: no layer but {names} has weights, so there is nothing to "
            "fine-tune. Train it with `fit_one_cycle`, or name the new layers in the argument `head`."
        )
    return (
        f"All weights before the head ({names}) are frozen, so there is nothing to fine-tune. Set `trainable = True` "
        "on the layers to fine-tune: `fine_tune` freezes them itself while it trains the head alone. To train the "
        "head only, call `fit_one_cycle`."
    )


def _last_layers(model: keras.Model) -> tuple[keras.layers.Layer, ...]:
    """Return the head of a model whose user did not name it."""
    layers = [layer for layer in model.layers if layer.weights]
    models = [number for number, layer in enumerate(layers) if isinstance(layer, keras.Model)]
    if models and models[-1] + 1 < len(layers):
        return tuple(layers[models[-1] + 1 :])
    if models and len(layers) == 1:
        return _last_layers(layers[0])  # a model around the whole
    ends = layers_before_outputs(model)
    if ends:
        return ends
    # A subclassed model may have its head before the model inside.
    return tuple(layer for layer in layers if not isinstance(layer, keras.Model)) if models else tuple(layers[-1:])


def _named(model: keras.Model, head: HeadArgument) -> Iterator[keras.layers.Layer]:
    """Yield the layers that the user named, each once."""
    entries = list(head) if isinstance(head, list | tuple) else [head]
    if not entries:
        raise ValueError(f"Argument `head` must name a layer. Received: head={described(head)}")
    layers = flattened_layers(model, include_self=False)
    seen: set[int] = set()
    for entry in entries:
        layer = _with_name(model, layers, entry) if isinstance(entry, str) else entry
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(
                "Argument `head` must be a layer of the model, its name, or a list of these. "
                f"Received: head={described(head)}"
            )
        if not any(one is layer for one in layers):
            raise ValueError(
                f"Argument `head` must be a layer of the model {model.name!r}. Received: a layer {layer.name!r} that "
                "is not in it"
            )
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer


def _with_name(model: keras.Model, layers: Sequence[keras.layers.Layer], name: str) -> keras.layers.Layer:
    # A layer of the model itself precedes one of the same name deeper inside.
    found = [layer for layer in model.layers if layer.name == name] or [layer for layer in layers if layer.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"Argument `head` names {len(found)} layers. Pass the layer itself. Received: head={name!r}")
    names = ", ".join(dict.fromkeys(layer.name for layer in layers if layer.weights))
    raise ValueError(
        f"Argument `head` must name a layer of the model {model.name!r}. Its layers with weights are: "
        f"{names if len(layers) <= _SHOWN else names[:400]}. Received: head={name!r}"
    )
