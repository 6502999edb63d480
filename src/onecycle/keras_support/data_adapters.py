"""What Keras takes as arrays, and how it reads their rows.

Private names of Keras, checked on Keras 3.15.1: of `keras.src.trainers.data_adapters` the functions `get_data_adapter`,
`can_convert_arrays`, `convert_to_sliceable`, `is_grain_dataset`, `is_jax_sparse`, `is_scipy_sparse`,
`is_tensorflow_ragged` and `is_tensorflow_sparse`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras.src.trainers.data_adapters import get_data_adapter, is_grain_dataset
from keras.src.trainers.data_adapters.array_data_adapter import can_convert_arrays
from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable
from keras.src.trainers.data_adapters.data_adapter_utils import (
    is_jax_sparse,
    is_scipy_sparse,
    is_tensorflow_ragged,
    is_tensorflow_sparse,
)
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


DEFAULT_BATCH_SIZE = 32  # that of `Model.fit`


def is_arrays(data: Nested) -> bool:
    """Return whether Keras takes the data as arrays: nested arrays, tensors, data frames and sparse matrices."""
    return bool(keras.tree.flatten(data)) and can_convert_arrays(data)


def count_rows(data: Nested) -> int:
    """Return the number of rows of nested arrays, some of which may be None."""
    return int(next(leaf for leaf in keras.tree.flatten(data) if leaf is not None).shape[0])


def is_sparse_or_ragged(leaf: Nested) -> bool:
    """Return whether an array is sparse or ragged, and so has no NumPy array of the same meaning."""
    kinds = (is_scipy_sparse, is_tensorflow_sparse, is_tensorflow_ragged, is_jax_sparse)
    return any(is_kind(leaf) for is_kind in kinds)


def dense_parts(leaf: Nested) -> tuple[Nested, ...]:
    """Return the dense arrays that an array consists of: itself, or the places and values of a sparse or ragged one."""
    if is_scipy_sparse(leaf):
        places = leaf.tocoo()
        return places.row, places.col, places.data, places.shape
    if is_tensorflow_sparse(leaf):
        return leaf.indices, leaf.values, leaf.dense_shape
    if is_tensorflow_ragged(leaf):
        return leaf.flat_values, *leaf.nested_row_splits
    if is_jax_sparse(leaf):
        return leaf.indices, leaf.data, leaf.shape
    return (keras.ops.convert_to_numpy(leaf) if keras.ops.is_tensor(leaf) else leaf,)


def select_rows(data: Nested, rows: slice | NDArray[np.integer]) -> Nested:
    """Return some rows of nested arrays, as arrays of the same kinds.

    Args:
        data: Whatever Keras takes as arrays. Some may be None.
        rows: The numbers of the rows, or a slice without a step.
    """
    return keras.tree.map_structure(lambda leaf: None if leaf is None else _select(leaf, rows), data)


def as_numpy(leaf: Nested) -> NDArray[Any] | None:
    """Return a dense array as `fit` gives it to the model, as a NumPy array; None if it is not numeric."""
    if is_sparse_or_ragged(leaf):
        return None
    try:
        sliceable = convert_to_sliceable(leaf)
        array = np.asarray(sliceable.convert_to_numpy(sliceable[slice(0, leaf.shape[0])]))
    except (TypeError, ValueError):  # strings and objects, for which Keras has no type
        return None
    return None if array.dtype.kind in "OSUMm" else array


def check_unsupported_arguments(x: Nested, y: Nested, sample_weight: Nested, class_weight: Nested) -> None:
    """Raise Keras' error for data that `fit` does not take, or not with these arguments. No batch is read.

    Args:
        x: Inputs, as the user passed them.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, or None.
    """
    if _reads_batches_first(x) and y is None and sample_weight is None and class_weight is None:
        return
    get_data_adapter(x, y, sample_weight, class_weight=class_weight)


def first_batch_of_fit(
    x: Nested, batch_size: int | None, y: Nested = None, sample_weight: Nested = None, class_weight: Nested = None,
    *, shuffle: bool = False,
) -> tuple[Nested, Nested, Nested]:  # fmt: skip
    """Return (x, y, sample_weight) of the first batch, as `fit` gives it to the model.

    Args:
        x: The data, not a generator.
        batch_size: Rows per batch of arrays, or None for the default.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, which become part of the weights of the rows, or None.
        shuffle: Whether the rows of arrays are in a random order, which is drawn as `fit` draws it.
    """
    adapter = get_data_adapter(x, y, sample_weight, batch_size=batch_size, shuffle=shuffle, class_weight=class_weight)
    readers = {"tensorflow": "get_tf_dataset", "jax": "get_jax_iterator", "torch": "get_torch_dataloader"}
    batch = next(iter(getattr(adapter, readers[keras.backend.backend()])()))
    parts = keras.utils.unpack_x_y_sample_weight(batch)
    return parts[0], parts[1], parts[2]


def number_of_batches(x: Nested) -> int | None:
    """Return the number of batches of a data set, or None if it is unknown or infinite.

    Args:
        x: Data that `fit` takes and that comes in batches. Keras does not ask all of them for their length.
    """
    batches = batches_known_to_keras(x)
    return known_length(x) if batches is None else batches


def known_length(dataset: Nested) -> int | None:
    """Return the length that a data set gives for itself, or None if it is unknown or infinite."""
    try:
        length = len(dataset)
    except (TypeError, NotImplementedError):  # `tf.data` raises a TypeError for infinite data too
        return None
    return None if length == sys.maxsize else length  # a repeated data set of Grain


def batches_known_to_keras(x: Nested) -> int | None:
    """Return the number of batches of an epoch as `fit` knows it when it begins, or None if it does not."""
    if _reads_batches_first(x):
        return None
    try:
        batches: int | None = get_data_adapter(x).num_batches
    except ValueError:  # no data for Keras, but perhaps for a model that overrides `fit`
        return None
    return batches


def _reads_batches_first(x: Nested) -> bool:
    """Return whether Keras reads the first batches of the data as soon as it makes an adapter."""
    # Iterators of other kinds have no adapter: `fit` refuses them.
    return isinstance(x, Iterator) or is_grain_dataset(x)


def _select(leaf: Nested, rows: slice | NDArray[np.integer]) -> Nested:
    if isinstance(rows, slice):
        # Keras takes the number of rows of a sparse tensor from the ends of the slice.
        rows = slice(*rows.indices(leaf.shape[0])[:2])
    if isinstance(leaf, np.ndarray):
        return leaf[rows]  # without Keras' copy in its default floating-point type
    try:
        return convert_to_sliceable(leaf)[rows]
    except (TypeError, ValueError):  # strings in a data frame, which the `fit` of a model may take and Keras does not
        return np.asarray(leaf)[rows]
