"""The settings of layers that a traced training step has built in, such as a rate of dropout or an activation."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from types import FunctionType, MethodType
from weakref import ref

import keras
import numpy as np

from onecycle.keras_support.layer_content import PLAIN, own_attributes
from onecycle.keras_support.model_state import flattened_layers

MAX_ARRAY_VALUES = 2**16  # of arrays whose values are compared; a larger one is compared by identity

_WITH_CONFIG = (keras.regularizers.Regularizer, keras.constraints.Constraint)
_OF_WEIGHTS = ("regularizer", "constraint")


def layer_settings(model: keras.Model) -> Hashable:
    """Return the settings of all layers, which differ after a change that a traced training step does not notice.

    These are the class of each layer, whether it is trainable, its data types, and its own attributes that are plain
    values, small arrays, functions, regularizers or constraints, and the regularizer and the constraint of each weight.
    The result holds no layer and no function alive.
    """
    weights = [[_object_setting(getattr(weight, name, None)) for name in _OF_WEIGHTS] for weight in model.weights]
    return tuple(map(_settings, flattened_layers(model))), tuple(map(tuple, weights))


def _settings(layer: keras.layers.Layer) -> Hashable:
    policy = layer.dtype_policy.name
    return id(layer), ref(type(layer)), bool(layer.trainable), policy, tuple(_attribute_settings(layer))


def _attribute_settings(layer: keras.layers.Layer) -> Iterator[Hashable]:
    for name, value in own_attributes(layer).items():
        if isinstance(value, keras.Variable):
            continue  # its value is an input of the step
        if isinstance(value, np.ndarray | np.generic) or keras.ops.is_tensor(value):
            yield name, _array_setting(value)
        elif isinstance(value, PLAIN):
            yield name, repr(value)
        elif isinstance(value, FunctionType):
            yield name, ref(value)
        elif isinstance(value, MethodType):
            yield name, ref(value.__func__)
        elif isinstance(value, _WITH_CONFIG):
            yield name, _object_setting(value)


def _object_setting(value: object) -> Hashable:
    """Return what a regularizer or a constraint depends on, also a user's own, whose config may be empty."""
    if isinstance(value, FunctionType):
        return ref(value)
    return ref(type(value)), repr(value.get_config() if isinstance(value, _WITH_CONFIG) else None), repr(_plain(value))


def _plain(value: object) -> dict[str, object]:
    return {name: one for name, one in getattr(value, "__dict__", {}).items() if isinstance(one, PLAIN)}


def _array_setting(value: keras.KerasTensor) -> Hashable:
    if math.prod(value.shape) > MAX_ARRAY_VALUES:
        return id(value)
    try:
        array = np.asarray(keras.ops.convert_to_numpy(value))
    except Exception:  # noqa: BLE001  # a symbolic tensor that a layer kept while its step was traced has no values
        return id(value)
    return str(array.dtype), array.shape, array.tobytes()
