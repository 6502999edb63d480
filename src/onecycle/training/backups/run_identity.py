"""What makes a run the one that a backup continues: the model, the data and the arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from onecycle.keras_support import backends
from onecycle.keras_support.data_adapters import known_length
from onecycle.keras_support.identity import data_digest, digest, model_identity, plain_data
from onecycle.keras_support.types import Nested
from onecycle.results import codec
from onecycle.results.base import Result

_SHOWN = 3  # differences that an error names
_MISSING = "nothing"


def run_identity(model: keras.Model, data: Mapping[str, Nested], arguments: Mapping[str, object]) -> dict[str, object]:
    """Return what identifies a run, as nested plain values.

    Of data sets, whose rows cannot be read in advance, only the type and the length are known.

    Args:
        model: The compiled model.
        data: The arguments that hold data, by name.
        arguments: The other arguments, by name.
    """
    return {
        "model": model_identity(model),
        "backend": backends.name(),
        "data": {name: _described(value) for name, value in data.items() if value is not None},
        "arguments": {name: _plain(value) for name, value in arguments.items()},
    }


def differences(before: object, now: object) -> list[str]:
    """Return in words how two runs differ, first in their arguments.

    Args:
        before: What `run_identity` returned for the run of the backup; tuples may have become lists.
        now: The same for the run that would continue it.
    """
    old, new = dict(_leaves(before)), dict(_leaves(now))
    names = [name for name in {**old, **new} if old.get(name, _MISSING) != new.get(name, _MISSING)]
    names.sort(key=lambda name: ("arguments", "data", "model").index(name[0]) if name[0] != "backend" else -1)
    found = [_sentence(name, old.get(name, _MISSING), new.get(name, _MISSING)) for name in names]
    more = len(found) - _SHOWN
    return found if more <= 0 else [*found[:_SHOWN], f"{more} more differences"]


def _described(value: Nested) -> object:
    """Return a description of data by its arrays: the shape, the data type and a digest of each."""
    leaves = keras.tree.flatten(value)
    if data_digest(value) is None:
        return [{"type": type(leaf).__name__, "length": known_length(leaf)} for leaf in leaves]
    described = [_array(leaf) for leaf in leaves]
    return described[0] if len(described) == 1 else described


def _array(leaf: Nested) -> dict[str, object]:
    shape = getattr(leaf, "shape", None)
    dtype = getattr(leaf, "dtype", type(leaf).__name__)
    return {"shape": None if shape is None else str(tuple(shape)), "type": str(dtype), "values": data_digest(leaf)}


def _plain(value: object) -> object:
    if isinstance(value, Result):
        return {"result": type(value).__name__, "values": digest(codec.to_document(value))}
    return plain_data(value)


def _leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    items: list[tuple[str, object]] = []
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(number), item) for number, item in enumerate(value)]
    if not items:
        yield path, value if not isinstance(value, Mapping | list | tuple) else "empty"
    for name, item in items:
        yield from _leaves(item, (*path, name))


def _sentence(path: tuple[str, ...], before: object, now: object) -> str:
    kind, *rest = path
    name = ".".join(rest)
    if kind == "data" and rest[-1] == "values":
        return f"the data `{'.'.join(rest[:-1])}` has other values"
    label = {"arguments": f"`{name}`", "data": f"the data `{name}`", "backend": "the backend"}.get(kind)
    return f"{label or f'of the model, `{name}`'} is {_text(before)} there and {_text(now)} here"


def _text(value: object) -> str:
    text = value if value is _MISSING else repr(value)
    return str(text) if len(str(text)) <= 60 else f"{str(text)[:57]}..."
