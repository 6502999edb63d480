"""The state of a training as arrays and plain values, which a file can hold and another process can restore.

`snapshot.py` restores within a process, and therefore more: attributes and compiled functions as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import backends, step_state
from onecycle.keras_support.data_state import is_data_set, is_followed
from onecycle.keras_support.foreign_state import generator_state, set_generator_state
from onecycle.keras_support.held_objects import contained, held_objects
from onecycle.keras_support.optimizers import all_optimizers
from onecycle.keras_support.types import Nested

# A larger array of an object of the user's holds the rows themselves.
MAX_ARRAY_BYTES = 2**24
_PLAIN = (bool, int, float, str, type(None))


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """Return all variables of a built model and of its built optimizers, in an order that depends on its code alone.

    Those of metrics are left out, since each epoch begins by resetting them.
    """
    optimizers = all_optimizers(model)
    held = held_objects(*optimizers, model)
    metrics = [model, *(one for one in held if isinstance(one, keras.metrics.Metric))]
    left_out = {id(variable) for one in metrics for variable in _metric_variables(one)}
    variables = [*model.variables, *(variable for optimizer in optimizers for variable in optimizer.variables)]
    variables += [one for one in held if isinstance(one, keras.Variable)]
    return list({id(one): one for one in variables if id(one) not in left_out}.values())


def unsaved_variables_of(model: keras.Model) -> list[keras.Variable]:
    """Return the variables of a built model that Keras does not save with its weights, such as the states of seeds."""
    optimizers = all_optimizers(model)
    saved = {id(one) for one in [*model.weights, *(one for opt in optimizers for one in opt.variables)]}
    return [one for one in variables_of(model) if id(one) not in saved]


def values_of(variables: Sequence[keras.Variable]) -> list[NDArray[Any]]:
    """Return copies of the variables' values on the host."""
    return [backends.to_numpy(variable).copy() for variable in variables]


def assign_values(model: keras.Model, variables: Sequence[keras.Variable], values: Sequence[NDArray[Any]]) -> None:
    """Give the variables of a model values that a file held.

    Args:
        model: The model.
        variables: What `variables_of` returned.
        values: What `values_of` returned, in the same order.

    Raises:
        ValueError: If their number or a shape differs. No variable is changed then.
    """
    if [variable.shape for variable in variables] != [value.shape for value in values]:
        raise ValueError(f"the model has {len(variables)} variables, not the {len(values)} of the backup")
    step_state.discard_state(model)  # otherwise JAX would write the state of an interrupted step over it
    for variable, value in zip(variables, values, strict=True):
        # NumPy loads the types that it does not know, such as bfloat16, as bytes.
        known = value if value.dtype.kind != "V" else value.view(backends.to_numpy(variable).dtype)
        variable.assign(known)


def foreign_values(model: keras.Model) -> list[Any]:
    """Return the state of a model outside Keras' variables: of random generators, and what the backend itself keeps."""
    return [_value_of(one) for one in _foreign(model)]


def set_foreign_values(model: keras.Model, values: Sequence[Any]) -> None:
    """Restore what `foreign_values` returned.

    Raises:
        ValueError: If the model holds other objects. Nothing is changed then.
    """
    found = _foreign(model)
    if len(found) != len(values):
        raise ValueError(f"the model holds {len(found)} objects with state outside Keras, not {len(values)}")
    for one, value in zip(found, values, strict=True):
        _set_value(one, value)


def data_values(data: Nested) -> list[Any]:
    """Return the state of data: of random generators, and counters and small arrays of objects of the user's classes.

    Args:
        data: The data, as `fit` takes it, also nested.
    """
    return [_value_of(one) for one in _data_objects(data)]


def set_data_values(data: Nested, values: Sequence[Any]) -> None:
    """Restore what `data_values` returned, as far as the data still holds the same objects."""
    found = _data_objects(data)
    if len(found) == len(values):
        for one, value in zip(found, values, strict=True):
            _set_value(one, value)


def _metric_variables(one: Any) -> list[keras.Variable]:
    return list(one.metrics_variables if isinstance(one, keras.Model) else one.variables)


def _foreign(model: keras.Model) -> list[object]:
    own = {id(value) for variable in model.variables for value in (variable, variable.value)}
    held = held_objects(*all_optimizers(model), model)
    return [one for one in held if id(one) not in own and (_is_generator(one) or _is_backends_own(one))]


def _data_objects(data: Nested) -> list[object]:
    held = held_objects(data, follow=is_followed)
    objects = [one for one in held if is_data_set(one)]
    inside = contained(*(value for one in objects for value in vars(one).values()))
    arrays = [one for one in inside if isinstance(one, np.ndarray) and one.nbytes <= MAX_ARRAY_BYTES]
    seeds = [one.state for one in held if isinstance(one, keras.random.SeedGenerator)]
    return [*(one for one in held if _is_generator(one)), *seeds, *objects, *arrays]


def _is_generator(value: object) -> bool:
    return generator_state(value) is not None


def _is_backends_own(value: object) -> bool:
    """Return whether a value is a tensor of PyTorch, as in the buffers of a module, or a variable of TensorFlow."""
    torch, tensorflow = sys.modules.get("torch"), sys.modules.get("tensorflow")
    if torch is not None and isinstance(value, torch.Tensor):
        return not (torch.nn.parameter.is_lazy(value) or value.is_meta)
    return tensorflow is not None and isinstance(value, tensorflow.Variable) and value.is_initialized()


def _value_of(one: Any) -> Any:
    """Return the state of an object as plain values and arrays."""
    state = generator_state(one)
    if state is not None:
        return state
    if isinstance(one, np.ndarray):
        return one.copy()
    if isinstance(one, keras.Variable):
        return backends.to_numpy(one).copy()
    if _is_backends_own(one):
        return one.numpy().copy() if hasattr(one, "is_initialized") else one.detach().cpu().numpy().copy()
    return {name: value for name, value in vars(one).items() if isinstance(value, _PLAIN)}


def _set_value(one: Any, value: Any) -> None:
    if _is_generator(one):
        set_generator_state(one, value)
    elif isinstance(one, np.ndarray):
        if one.shape == value.shape and one.flags.writeable:
            one[...] = value
    elif isinstance(one, keras.Variable) or hasattr(one, "is_initialized"):
        one.assign(value)
    elif _is_backends_own(one):
        one.data.copy_(sys.modules["torch"].from_numpy(value.copy()))
    else:
        vars(one).update(value)
