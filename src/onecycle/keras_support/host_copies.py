"""Copies of variables on the host: equal ones share their memory, and large ones can be kept on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import backends

KEPT_IN = ("memory", "disk")
MIN_BYTES_ON_DISK = 2**20
COMPARED_BYTES = 2**22  # at a time

# The newest copy of each variable, by the identity of the variable, as long as anything holds it.
_newest: WeakValueDictionary[int, NDArray[Any]] = WeakValueDictionary()
_on_disk: ContextVar[bool] = ContextVar("copies_on_disk", default=False)


def copy_to_host(variable: keras.Variable) -> NDArray[Any]:
    """Return a copy of a variable's value, which must not be changed: another copy may share its memory."""
    value = backends.to_numpy(variable)
    known = _newest.get(id(variable))
    if known is not None and _are_equal(known, value):
        return known
    copy = _in_file(value) if _on_disk.get() and value.nbytes >= MIN_BYTES_ON_DISK else np.array(value)
    _newest[id(variable)] = copy
    return copy


@contextmanager
def copies_on_disk(wanted: bool) -> Iterator[None]:
    """Have large copies that are made within the block kept in temporary files, which are deleted with them.

    Args:
        wanted: Whether to do so; otherwise nothing changes.
    """
    token = _on_disk.set(wanted or _on_disk.get())
    try:
        yield
    finally:
        _on_disk.reset(token)


def _in_file(value: NDArray[Any]) -> NDArray[Any]:
    with tempfile.TemporaryFile() as file:  # the memory map keeps it open
        copy: NDArray[Any] = np.memmap(file, value.dtype, "w+", shape=value.shape)
    copy[...] = value
    return copy


def _are_equal(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Return whether two arrays have the same bytes, NaN and the sign of zero included."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    one, other = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (first, second))
    parts = (slice(start, start + COMPARED_BYTES) for start in range(0, len(one), COMPARED_BYTES))
    return all(np.array_equal(one[part], other[part]) for part in parts)
