"""Rows of the arrays that users pass as data: NumPy arrays, tensors of any backend, and objects of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support.data_adapters import is_arrays

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

# What slicing or converting raises for sparse and ragged tensors and other unusual objects.
_NO_ROWS = (TypeError, ValueError, NotImplementedError, RuntimeError, AttributeError, IndexError)


def is_table(leaf: Nested) -> bool:
    """Return whether an object is a pandas DataFrame or Series, or another one with their positional indexing."""
    return hasattr(leaf, "iloc")


def numeric_rows(leaf: Nested, rows: slice | NDArray[np.integer]) -> NDArray[Any] | None:
    """Return these rows of one array, as NumPy numbers.

    Args:
        leaf: An array, a tensor, or an object of pandas, of which the columns with numbers are returned.
        rows: Which rows.

    Returns:
        An array of integers, booleans or floats; None for text, sparse and ragged tensors and other objects.
    """
    if not is_arrays(leaf):
        return None
    try:
        values = _table_rows(leaf, rows) if is_table(leaf) else keras.ops.convert_to_numpy(leaf[rows])
    except _NO_ROWS:
        return None
    if values.dtype.kind == "V" and "float" in values.dtype.name:  # bfloat16 and its relatives
        values = values.astype("float32")
    return values if values.dtype.kind in "biuf" else None


def _table_rows(table: Nested, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
    part = table.iloc[rows]
    numbers = part.select_dtypes(["number", "bool"]) if part.ndim == 2 else part
    values = numbers.to_numpy()
    # Columns of different types, or with missing values, become objects.
    return values if values.dtype.kind in "biuf" else numbers.to_numpy(dtype="float64", na_value=np.nan)
