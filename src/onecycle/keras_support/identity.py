"""What a run depends on, as plain data and as a hash. With other settings, a run has another hash."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Iterable, Mapping
from types import CellType, CodeType, FunctionType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import backends
from onecycle.keras_support.data_adapters import dense_parts, is_sparse_or_ragged
from onecycle.keras_support.model_state import flattened_layers
from onecycle.keras_support.optimizers import inner_optimizers
from onecycle.keras_support.types import Nested

DIGITS = 16  # hexadecimal digits of a hash: 64 bits

_PLAIN = (type(None), bool, int, float, str)


def digest(value: object) -> str:
    """Return the hash of plain data, which is the same in every process and on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def array_digest(arrays: Nested) -> str:
    """Return the hash of nested arrays: their shapes, data types and all values."""
    total = hashlib.sha256()
    for leaf in keras.tree.flatten(arrays):
        if leaf is None:
            total.update(b"none")
            continue
        for part in dense_parts(leaf):
            array = np.ascontiguousarray(part)
            total.update(f"{array.dtype} {array.shape}".encode())
            total.update(_content(array))
    return total.hexdigest()[:DIGITS]


def data_digest(data: Nested) -> str | None:
    """Return the hash of nested arrays, or None for data sets, whose rows cannot be read in advance."""
    leaves = keras.tree.flatten(data)
    return array_digest(leaves) if all(map(_is_hashable, leaves)) else None


def weights_digest(model: keras.Model) -> str:
    """Return the hash of a model's weights."""
    return array_digest([backends.to_numpy(variable) for variable in model.weights])


def data_identity(data: Nested) -> object:
    """Return what identifies the data of a comparison, as plain data.

    That is a hash for arrays, the description of a function that makes the data, and for data sets, whose rows cannot
    be read in advance, the names of their types.
    """
    if callable(data):
        return plain_data(data)
    return data_digest(data) or [type(leaf).__name__ for leaf in keras.tree.flatten(data)]


def model_identity(model: keras.Model) -> dict[str, object]:
    """Return what identifies a compiled model, as plain data: its layers, weights, optimizer and loss.

    Automatic names of Keras, such as `dense_7`, depend on the models built before and are replaced by numbers.
    """
    try:
        config = _with_numbered_names(model.get_config())
    except (NotImplementedError, TypeError, ValueError):  # a user's class need not have a configuration
        config = type(model).__name__
    optimizers = [_with_numbered_names(inner.get_config()) for inner in inner_optimizers(model.optimizer)]
    sources = _user_sources([*flattened_layers(model), *inner_optimizers(model.optimizer)])
    return {
        "layers": plain_data(config),
        "weights": [[list(variable.shape), str(variable.dtype), variable.trainable] for variable in model.weights],
        "optimizer": plain_data(optimizers),
        "loss": plain_data(getattr(model, "loss", None)),
        **({"sources": sources} if sources else {}),
    }


def plain_data(value: object) -> object:
    """Return a value as plain data that is the same in every process.

    A function becomes its name, the hash of its source, its defaults and the values it closes over. Anything else that
    it reads, such as a global variable, is not visible here.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in _with_first_module(value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_data(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return array_digest(value)
    if isinstance(value, type) or inspect.isbuiltin(value):
        return f"{value.__module__}.{value.__qualname__}"
    return _callable_data(value) or _object_data(value)


def _is_hashable(leaf: Nested) -> bool:
    return hasattr(leaf, "__array__") or isinstance(leaf, _PLAIN) or is_sparse_or_ragged(leaf)


def _content(array: NDArray[Any]) -> bytes | memoryview:
    """Return all values of an array as bytes."""
    if array.dtype.hasobject:  # text, or columns of different types: the bytes would be addresses
        return json.dumps(array.tolist(), default=_item_data).encode()
    return array.reshape(-1).view(np.uint8).data if array.size else b""


def _item_data(item: object) -> str:
    return array_digest(item) if isinstance(item, np.ndarray) else repr(item)


def _with_first_module(config: Mapping[object, object]) -> Mapping[object, object]:
    """Return Keras' config of one of our schedules as if the schedule were still in its first module."""
    module = _FIRST_MODULES.get(str(config.get("registered_name")))
    return config if module is None else {**config, "module": module}


def _callable_data(value: object) -> dict[str, object] | None:
    """Return a function as plain data, or None for any other object."""
    if isinstance(value, functools.partial):
        return {"function": plain_data(value.func), "arguments": plain_data([value.args, value.keywords])}
    if inspect.isfunction(value):
        return _function_data(value)
    if inspect.ismethod(value):
        return {"function": plain_data(value.__func__), "of": plain_data(value.__self__)}
    return None


def _object_data(value: object) -> dict[str, object]:
    if hasattr(value, "get_config"):
        return {"class": type(value).__qualname__, "config": plain_data(_with_numbered_names(value.get_config()))}
    attributes = {name: item for name, item in getattr(value, "__dict__", {}).items() if isinstance(item, _PLAIN)}
    return {"class": type(value).__qualname__, "values": plain_data(attributes)}


def _function_data(function: FunctionType) -> dict[str, object]:
    try:
        source: object = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # typed into a shell, for example
        source = _code_data(function.__code__)
    values = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return {
        "function": function.__qualname__,
        "source": digest(source),
        "defaults": plain_data([function.__defaults__, function.__kwdefaults__]),
        # A recursive function closes over itself.
        "closes over": [plain_data(value) for value in values if value is not function],
    }


def _is_filled(cell: CellType) -> bool:
    """Return whether a variable that a function closes over has a value yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _user_sources(parts: Iterable[object]) -> dict[str, str]:
    """Return the user's classes among those of the parts and their bases, each with the hash of its source."""
    kinds = {kind for part in parts for kind in type(part).__mro__ if _package(kind) not in _KNOWN_PACKAGES}
    return {f"{kind.__module__}.{kind.__qualname__}": digest(_source(kind)) for kind in kinds}


def _source(kind: type) -> object:
    try:
        return textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        members = {name: item for name, item in vars(kind).items() if name not in _LOCATION_ATTRIBUTES}
        functions = {name: _code_data(item.__code__) for name, item in members.items() if inspect.isfunction(item)}
        return functions | {name: item for name, item in members.items() if isinstance(item, _PLAIN)}


def _code_data(code: CodeType) -> list[object]:
    """Return what stands in for a missing source: the byte code with its names and constants."""
    return [code.co_code.hex(), list(code.co_names), [_constant_data(constant) for constant in code.co_consts]]


def _constant_data(constant: object) -> object:
    if isinstance(constant, frozenset):  # its order differs between processes
        return sorted(map(repr, constant))
    return _code_data(constant) if isinstance(constant, CodeType) else repr(constant)


def _with_numbered_names(config: object) -> object:
    """Replace the names in a Keras configuration by numbers, in the order of their appearance."""
    numbers: dict[str, int] = {}
    _number_names(config, numbers)
    return _renamed(config, None, numbers)


def _number_names(config: object, numbers: dict[str, int]) -> None:
    if isinstance(config, Mapping):
        name = config.get("name")
        if isinstance(name, str) and len(config) > 1:  # a data type policy consists of nothing but its name
            numbers.setdefault(name, len(numbers))
    for item in _items(config):
        _number_names(item, numbers)


def _items(config: object) -> Iterable[object]:
    if isinstance(config, Mapping):
        return config.values()
    return config if isinstance(config, list | tuple) else ()


def _renamed(config: object, key: object, numbers: Mapping[str, int]) -> object:
    """Return the configuration that stands under `key`, with numbers in place of names."""
    if isinstance(config, Mapping):
        return {name: _renamed(item, name if len(config) > 1 else None, numbers) for name, item in config.items()}
    if isinstance(config, list | tuple):
        return [_renamed(item, key, numbers) for item in config]
    # Only under the keys that hold names: an activation may have the same name as a layer.
    if isinstance(config, str) and config in numbers and key in _NAME_KEYS:
        return numbers[config]
    return config


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


_LOCATION_ATTRIBUTES = ("__module__", "__firstlineno__", "__doc__")  # where a class is defined, not what it does
# The packages of Keras itself and of the base classes of the backend's layers.
_KNOWN_PACKAGES = {_package(kind) for kind in (*keras.Model.__mro__, *keras.optimizers.Optimizer.__mro__)}
_NAME_KEYS = ("name", "keras_history", "input_layers", "output_layers", "inbound_nodes", "args")
# Keras writes a schedule's module into its config, and records made before version 0.2 depend on it.
_FIRST_MODULES = {
    "onecycle>OneCycle": "onecycle.one_cycle_schedule",
    "onecycle>OneCyclePyTorch": "onecycle.peer_schedules",
    "onecycle>OneCycleFastai": "onecycle.peer_schedules",
    "onecycle>OneCycleOptax": "onecycle.peer_schedules",
    "onecycle>WarmupLinearDecay": "onecycle.schedules",
    "onecycle>WarmupStableDecay": "onecycle.schedules",
    "onecycle>CyclicalLearningRate": "onecycle.schedules",
    "onecycle>MomentumSchedule": "onecycle._schedule_base",
}
