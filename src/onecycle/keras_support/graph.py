"""The layers of a functional model from its outputs back to its inputs.

Private names of Keras, checked on Keras 3.15.1: `KerasTensor._keras_history` and `Operation._inbound_nodes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras


def layers_before_outputs(model: keras.Model) -> tuple[keras.layers.Layer, ...]:
    """Return the last layers with weights before the outputs of a functional or sequential model, each once.

    A nested model counts as a layer. A subclassed model has none.
    """
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    found = {id(layer): layer for output in outputs for layer in _nearest_with_weights(output)}
    known = {id(layer) for layer in model.layers}
    return tuple(found.values()) if known.issuperset(found) else ()


def inputs_of_linear_head(model: keras.Model) -> int:
    """Return the number of inputs of the last layers if they alone are trained, on frozen ones; else 0.

    The outputs are then linear functions of the trained weights, apart from an activation.
    """
    last = {id(variable) for layer in layers_before_outputs(model) for variable in layer.trainable_variables}
    trained = model.trainable_variables
    has_frozen = any(len(variable.shape) > 1 for variable in model.non_trainable_variables)
    if not has_frozen or any(id(variable) not in last for variable in trained):
        return 0
    return max((math.prod(variable.shape[:-1]) for variable in trained if len(variable.shape) > 1), default=0)


def _nearest_with_weights(tensor: keras.KerasTensor) -> Iterator[keras.layers.Layer]:
    """Yield the layers with weights that are reached first on all ways from a symbolic tensor to the inputs."""
    seen: set[int] = set()
    waiting = [tensor]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        operation, node, _ = one._keras_history
        if getattr(operation, "weights", None):
            yield operation
        elif operation is not None and operation._inbound_nodes:
            waiting += operation._inbound_nodes[node].input_tensors
