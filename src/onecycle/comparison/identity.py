"""What a run depends on, as plain data and as a hash: records of other settings are told apart by it."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any

import keras
import numpy as np

from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import inner_optimizers

DIGITS = 16  # hexadecimal, of a hash: 64 bits

_PLAIN = (type(None), bool, int, float, str)


def digest(facts: Any) -> str:
    """The hash of plain data, the same in every process and on every machine."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def array_digest(arrays: Any) -> str:
    """The hash of a nest of arrays: shapes, types and every value."""
    found = hashlib.sha256()
    for leaf in keras.tree.flatten(arrays):
        if leaf is None:
            found.update(b"none")
            continue
        array = np.ascontiguousarray(leaf)
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return found.hexdigest()[:DIGITS]


def weights_digest(model: Any) -> str:
    """The hash of a model's weights."""
    return array_digest([backends.to_numpy(variable) for variable in model.weights])


def data_facts(data: Any) -> Any:
    """What is known of a comparison's data: its hash, or the function that makes it."""
    if callable(data):
        return described(data)
    leaves = keras.tree.flatten(data)
    whole = all(leaf is None or hasattr(leaf, "__array__") or isinstance(leaf, _PLAIN) for leaf in leaves)
    return array_digest(data) if whole else [type(leaf).__name__ for leaf in leaves]


def model_facts(model: Any) -> dict[str, Any]:
    """A compiled model as plain data: its layers, weights, optimizer and loss, without the names Keras counts up."""
    try:
        config = _nameless(model.get_config())
    except (NotImplementedError, TypeError, ValueError):  # a person's own class, which Keras lets be without one
        config = type(model).__name__
    optimizers = [_nameless(inner.get_config()) for inner in inner_optimizers(model.optimizer)]
    sources = _own_sources([*model._flatten_layers(), *inner_optimizers(model.optimizer)])
    return {
        "layers": described(config),
        "weights": [[list(variable.shape), str(variable.dtype), variable.trainable] for variable in model.weights],
        "optimizer": described(optimizers),
        "loss": described(getattr(model, "loss", None)),
        **({"sources": sources} if sources else {}),
    }


def _own_sources(parts: Iterable[Any]) -> dict[str, str]:
    """The classes of these parts that are a person's own, and those they inherit from, with a hash of their source."""
    kinds = {kind for part in parts for kind in type(part).__mro__ if _package(kind) not in _NOT_OWN}
    return {f"{kind.__module__}.{kind.__qualname__}": digest(_source(kind)) for kind in kinds}


def _source(kind: type) -> Any:
    try:
        return textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        own = {name: item for name, item in vars(kind).items() if name not in _PLACES}
        functions = {name: _code_facts(item.__code__) for name, item in own.items() if inspect.isfunction(item)}
        return functions | {name: item for name, item in own.items() if isinstance(item, _PLAIN)}


def _code_facts(code: CodeType) -> list[Any]:
    """A function whose source cannot be had, as where it was typed in: what it does, by names and constants."""
    return [code.co_code.hex(), list(code.co_names), [_constant_facts(one) for one in code.co_consts]]


def _constant_facts(one: Any) -> Any:
    if isinstance(one, frozenset):  # whose order is another in each process
        return sorted(map(repr, one))
    return _code_facts(one) if isinstance(one, CodeType) else repr(one)


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def described(value: Any) -> Any:
    """A value as plain data that is the same in every process: a function is its name, source and what it closes over.

    What else a function reads, such as globals, cannot be seen.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [described(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return array_digest(value)
    if isinstance(value, functools.partial):
        return {"function": described(value.func), "arguments": described([value.args, value.keywords])}
    if inspect.isfunction(value):
        return _function_facts(value)
    if inspect.ismethod(value):
        return {"function": described(value.__func__), "of": described(value.__self__)}
    if isinstance(value, type) or inspect.isbuiltin(value):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_config"):
        return {"class": type(value).__qualname__, "config": described(_nameless(value.get_config()))}
    return {"class": type(value).__qualname__, "values": described(_plain_attributes(value))}


def _plain_attributes(value: Any) -> dict[str, Any]:
    return {name: item for name, item in getattr(value, "__dict__", {}).items() if isinstance(item, _PLAIN)}


def _function_facts(function: Any) -> dict[str, Any]:
    try:
        source: Any = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        source = _code_facts(function.__code__)
    cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    return {
        "function": function.__qualname__,
        "source": digest(source),
        "defaults": described([function.__defaults__, function.__kwdefaults__]),
        "closes over": [described(item) for item in cells if item is not function],
    }


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _nameless(config: Any) -> Any:
    """A Keras config whose names, such as dense_7, counted up in each process, are numbered as they appear."""
    numbers: dict[str, int] = {}

    def gather(value: Any) -> None:
        if isinstance(value, Mapping):
            name = value.get("name")
            if isinstance(name, str) and len(value) > 1:  # a policy of data types is nothing but its name
                numbers.setdefault(name, len(numbers))
            for item in value.values():
                gather(item)
        elif isinstance(value, list | tuple):
            for item in value:
                gather(item)

    def renamed(value: Any, key: Any = None) -> Any:
        if isinstance(value, Mapping):
            return {k: renamed(item, k if len(value) > 1 else None) for k, item in value.items()}
        if isinstance(value, list | tuple):
            return [renamed(item, key) for item in value]
        # Only where names stand: an activation may be called as a layer is.
        return numbers[value] if isinstance(value, str) and value in numbers and key in _NAMED else value

    gather(config)
    return renamed(config)


_PLACES = ("__module__", "__firstlineno__", "__doc__")  # of a class: where it stands, not what it does
# Keras' own, and what the backend's layers are made of.
_NOT_OWN = {_package(kind) for kind in (*keras.Model.__mro__, *keras.optimizers.Optimizer.__mro__)}
_NAMED = ("name", "keras_history", "input_layers", "output_layers", "inbound_nodes", "args")
