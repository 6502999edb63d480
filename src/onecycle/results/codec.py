"""Encoding and decoding of saved results, as JSON that any parser reads."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from onecycle.suggestions.arguments import check_path

FORMAT = "onecycle-result"
VERSION = 1  # raised when an older onecycle could misread a file; new fields with defaults are no reason
# The metadata of a field that a file lacks while it is empty.
OMITTED_IF_EMPTY: Mapping[str, bool] = MappingProxyType({"omitted_if_empty": True})

Class = TypeVar("Class", bound=type)

_classes: dict[str, type] = {}
# Names of classes that are gone, in the files of earlier versions -> what is said of such a file.
_REMOVED: Mapping[str, str] = MappingProxyType(
    {"Sweep": "holds a sweep, and sweeps were removed after version 0.2.0: read it with that version"}
)


class RemovedClassError(ValueError):
    """A document has an object whose class is gone."""


def storable(cls: Class) -> Class:
    """Register a frozen dataclass or Enum, as a class decorator, so that saved results may contain its instances.

    Files refer to the class by its name, so the name must not change.
    """
    _classes[cls.__name__] = cls
    return cls


def save_object(
    result: object, path: str | os.PathLike[str], *, beside: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Write a storable dataclass as JSON. An existing file is replaced as a whole, or left as it is after an error.

    The file is `{"format": "onecycle-result", "version": 1, "type": ..., "fields": {...}}`. NaN and infinities are
    stored as null with a mask that says which is which. An array is stored as its shape and its values in row order.

    Args:
        result: The dataclass.
        path: File to write.
        beside: More keys of the file and their JSON values, for other readers. They are not loaded.

    Raises:
        TypeError: If the result contains an object that could not be loaded.
        OSError: If the file cannot be written.
    """
    document = {**to_document(result), **beside}
    write_atomically(
        check_path("path", path), json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    )


def to_document(result: object) -> dict[str, Any]:
    """Return a storable dataclass as the JSON document that `save_object` writes.

    Raises:
        TypeError: If the result contains an object that could not be loaded.
    """
    encoded = _encode(result)
    return {"format": FORMAT, "version": VERSION, "type": encoded["kind"], "fields": encoded["fields"]}


def load_object(path: str | os.PathLike[str]) -> object:
    """Return the object that `save_object` wrote to a file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is incomplete, is not a onecycle result, or was written by a newer onecycle.
    """
    try:
        document = json.loads(check_path("path", path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not complete JSON, so it is torn or not a onecycle result: {error}") from error
    return from_document(document, path)


def from_document(document: object, source: str | os.PathLike[str]) -> object:
    """Return the object encoded in a JSON document.

    Args:
        document: What `json.load` returns for a file that `save_object` wrote.
        source: Where the document comes from, for error messages.

    Raises:
        ValueError: If the document is not a onecycle result, is damaged, was written by a newer onecycle, or has an
            object of a class that was removed.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{source} is not a onecycle result: its `format` is not {FORMAT!r}.")
    version = document.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"{source} is damaged: its `version` is {version!r}.")
    if version > VERSION:
        raise ValueError(
            f"{source} was written by a newer onecycle (format version {version}; this one reads up to {VERSION}): "
            "upgrade onecycle."
        )
    try:
        return _object(document["type"], document["fields"])
    except RemovedClassError as error:
        raise ValueError(f"{source} {error}.") from error
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{source} is damaged: {type(error).__name__}: {error}") from error


def _encode(value: object) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Enum):
        return {"kind": _name(value), "member": value.name}
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        # JSON has no NaN and no infinities.
        return number if math.isfinite(number) else {"kind": "float", "value": None, "mask": _sign(number)}
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, tuple):
        return {"kind": "tuple", "values": [_encode(item) for item in value]}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):
        return _encode_mapping(value)
    if is_dataclass(value):
        return {"kind": _name(value), "fields": _encode_fields(value)}
    raise TypeError(f"A {type(value).__name__} cannot be saved in a onecycle result. Received: {value!r}")


def _encode_fields(value: Any) -> dict[str, Any]:
    named = [(f.name, getattr(value, f.name)) for f in fields(value) if not _is_omitted(f, value)]
    return {name: _encode(item) for name, item in named}


def _is_omitted(one: Field[Any], value: object) -> bool:
    return OMITTED_IF_EMPTY.items() <= one.metadata.items() and not getattr(value, one.name)


def _name(value: object) -> str:
    name = type(value).__name__
    if _classes.get(name) is not type(value):
        raise TypeError(f"A {name} cannot be saved in a onecycle result: it is not registered.")
    return name


def _encode_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"An array of {array.dtype} cannot be saved in a onecycle result.")
    encoded: dict[str, Any] = {"kind": "array", "dtype": array.dtype.name, "shape": list(array.shape)}
    flat = array.ravel()
    # JSON has no NaN and no infinities, so these become null, and the mask says which is which.
    non_finite = {} if array.dtype.kind != "f" else {int(i): flat[i] for i in np.flatnonzero(~np.isfinite(flat))}
    encoded["values"] = [None if i in non_finite else item for i, item in enumerate(flat.tolist())]
    if non_finite:
        encoded["mask"] = {
            kind: [i for i, number in non_finite.items() if _sign(number) == kind] for kind in ("nan", "inf", "-inf")
        }
    return encoded


def _encode_mapping(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in mapping):
        raise TypeError(f"Keys in a saved onecycle result must be strings. Received: {list(mapping)!r}")
    items = {key: _encode(item) for key, item in mapping.items()}
    # A plain dict with a key "kind" would be decoded as something else.
    return {"kind": "mapping", "items": items} if "kind" in items else items


def _sign(number: float) -> str:
    return "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"


def _decode(value: object) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "kind" not in value:
        return {key: _decode(item) for key, item in value.items()}
    decoder = _DECODERS.get(value["kind"])
    if decoder is not None:
        return decoder(value)
    if "member" in value:
        return _class(value["kind"])[value["member"]]  # type: ignore[index]  # an Enum class
    return _object(value["kind"], value["fields"])


def _decode_array(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    numbers = list(value["values"])
    for kind, places in value.get("mask", {}).items():
        for place in places:
            numbers[place] = float(kind)
    if None in numbers:
        raise ValueError("an array holds a null that its mask does not explain")
    return np.asarray(numbers, dtype=value["dtype"]).reshape(value["shape"])


_DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "array": _decode_array,
    "float": lambda value: float(value["mask"]),
    "tuple": lambda value: tuple(_decode(item) for item in value["values"]),
    "mapping": lambda value: {key: _decode(item) for key, item in value["items"].items()},
}


def _object(name: str, encoded: dict[str, Any]) -> object:
    return _class(name)(**{key: _decode(item) for key, item in encoded.items()})


def _class(name: str) -> type:
    if name in _REMOVED:
        raise RemovedClassError(_REMOVED[name])
    if name not in _classes:
        raise ValueError(f"this onecycle does not know the type {name!r}; it knows {', '.join(sorted(_classes))}")
    return _classes[name]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8. An existing file is replaced as a whole, or left as it is after an error."""
    # Named here, as an error of the draft would name the draft.
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.absolute().parent} to write {path.name} to.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file to write to.")
    # Renaming is atomic only within a file system, so the draft is in the same folder.
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())  # otherwise a crash of the machine could leave a renamed but empty file
        Path(draft).chmod(0o666 & ~_umask())  # mkstemp creates files that only their owner can read
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)  # the mask can only be read by setting it
    os.umask(mask)
    return mask
