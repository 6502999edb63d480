"""Chosen rows of the user's arrays, of a large array in a file as another file."""

from __future__ import annotations

import math
import tempfile
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import training_data
from onecycle.keras_support.data_adapters import select_rows

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

CHUNK_BYTES = 2**24


def kept_rows(data: Nested, rows: slice | NDArray[np.integer]) -> Nested:
    """Return some rows of nested arrays, as arrays of the same kinds.

    Rows of a large `np.memmap` are copied to a temporary file, which is deleted with the array. So they take no memory
    of the process, and `fit` can read them batch by batch.

    Args:
        data: Whatever Keras takes as arrays. Some may be None.
        rows: The numbers of the rows, in any order, or a slice without a step. Those of a slice are not copied.

    Raises:
        OSError: If the folder for temporary files has too little space.
    """
    if isinstance(rows, slice):
        return select_rows(data, rows)

    def kept(leaf: Nested) -> Nested:
        in_file = isinstance(leaf, np.memmap) and training_data.is_large(leaf)
        return _in_new_file(leaf, rows) if in_file else select_rows(leaf, rows)

    return keras.tree.map_structure(lambda leaf: None if leaf is None else kept(leaf), data)


def _in_new_file(array: NDArray[Any], rows: NDArray[np.integer]) -> NDArray[Any]:
    shape = (len(rows), *array.shape[1:])
    with tempfile.TemporaryFile() as file:  # the memory map keeps it open
        copy: NDArray[Any] = np.memmap(file, array.dtype, "w+", shape=shape)
    step = max(1, CHUNK_BYTES // (array.itemsize * math.prod(array.shape[1:])))
    for begin in range(0, len(rows), step):
        chunk = rows[begin : begin + step]
        order = np.argsort(chunk)  # a file is read fastest in its own order
        copy[begin + order] = array[chunk[order]]
    return copy
