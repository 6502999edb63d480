"""Properties of training data that have to be known before `fit` reads it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np

from onecycle.keras_support import data_adapters
from onecycle.keras_support.data_adapters import DEFAULT_BATCH_SIZE as DEFAULT_BATCH_SIZE
from onecycle.keras_support.data_adapters import as_numpy as as_numpy
from onecycle.keras_support.data_adapters import count_rows as count_rows
from onecycle.keras_support.data_adapters import is_arrays as is_arrays
from onecycle.keras_support.data_adapters import select_rows as select_rows
from onecycle.keras_support.data_checks import check_class_weight, check_rows
from onecycle.keras_support.data_sharding import check_full_batches
from onecycle.keras_support.model_checks import check_targets
from onecycle.keras_support.model_state import is_overridden
from onecycle.suggestions.arguments import check_integer, described

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onecycle.keras_support.types import Nested

LARGE_BYTES = 2**28  # ours


def check_data(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    batch_size: int | None = None,
    sample_weight: Nested = None,
    class_weight: Mapping[int, float] | None = None,
) -> None:
    """Check that `fit` takes the data. Nothing is read from it.

    Args:
        model: The model.
        x: Inputs, as `Model.fit` takes them.
        y: Targets, or None.
        batch_size: Rows per batch, or None for the default.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, or None.

    Raises:
        TypeError, ValueError: For no data, arrays without rows, or an invalid batch size or class weight; and Keras'
            error for what `fit` refuses.
    """
    if x is None or isinstance(x, keras.layers.Layer):
        raise ValueError(f"Argument `x` must be training data, as `Model.fit` takes it. Received: x={described(x)}")
    if batch_size is not None:
        check_integer("batch_size", batch_size)
    check_class_weight(class_weight)
    check_rows("x", x, y, sample_weight)
    if not has_own_fit(model):
        data_adapters.check_unsupported_arguments(x, y, sample_weight, class_weight)
    if is_arrays(x):
        check_targets(model, y)
        check_full_batches(x, batch_size)


def has_own_fit(model: keras.Model) -> bool:
    """Return whether the model overrides `fit`, and so may take data that Keras does not, as those of KerasHub do."""
    return is_overridden(model, "fit")


def is_one_shot(x: Nested) -> bool:
    """Return whether the data can be read only once, as a generator or another iterator can."""
    return isinstance(x, Iterator)


def count_batches(rows: int, batch_size: int) -> int:
    """Return the number of batches of an epoch, the last one of which may be short."""
    return -(-rows // batch_size)


def count_bytes(data: Nested) -> int:
    """Return the memory that nested arrays take as float32, whatever their dtypes are."""
    return sum(4 * math.prod(leaf.shape) for leaf in keras.tree.flatten(data) if leaf is not None)


def is_large(data: Nested) -> bool:
    """Return whether nested arrays should be read in parts, and not be put on the device as a whole."""
    return count_bytes(data) > LARGE_BYTES


def first_rows(data: Nested, rows: int) -> Nested:
    """Return the first rows of nested arrays, some of which may be None."""
    return select_rows(data, slice(rows))


def has_dense_arrays(data: Nested) -> bool:
    """Return whether nested arrays are dense and numeric, so that each has a NumPy array of the same meaning."""
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return all(
        len(leaf.shape) > 0
        and not data_adapters.is_sparse_or_ragged(leaf)
        and data_adapters.as_numpy(select_rows(leaf, slice(1))) is not None
        for leaf in leaves
    )


def lists_as_arrays(data: Nested) -> Nested:
    """Return the data with each list of numbers or strings as an array, as the `fit` of some models takes them."""
    if isinstance(data, tuple):
        return tuple(map(lists_as_arrays, data))
    if isinstance(data, dict):
        return {name: lists_as_arrays(item) for name, item in data.items()}
    is_plain = isinstance(data, list) and bool(data) and isinstance(data[0], str | bytes | int | float | list)
    return np.array(data) if is_plain else data


def batch_size_of_fit(x: Nested, batch_size: int | None, given: int | None = None) -> int | None:
    """Return the rows per batch with which `fit` trains on arrays; the argument `batch_size` for other data.

    Args:
        x: The data.
        batch_size: The argument `batch_size` of `fit`, or None.
        given: The argument `steps_per_epoch`, or None. Without a batch size, Keras divides the rows by it.
    """
    if batch_size is not None or not is_arrays(x):
        return batch_size
    return count_batches(count_rows(x), given) if given else DEFAULT_BATCH_SIZE


def steps_per_epoch(x: Nested, batch_size: int | None, given: int | None = None) -> int | None:
    """Return the number of steps of an epoch, as far as it is known before `fit`; None for data of unknown length.

    An epoch ends where the data ends, also before `steps_per_epoch`.

    Args:
        x: The data.
        batch_size: Rows per batch of arrays, or None for the default.
        given: The argument `steps_per_epoch` of `fit`, or None.
    """
    available = _batches_of_arrays(x, batch_size, given) if is_arrays(x) else data_adapters.number_of_batches(x)
    return min(filter(None, (available, given)), default=None)


def steps_of_epochs(x: Nested, given: int | None, epochs: int, *, batch_size: int | None = None) -> list[int] | None:
    """Return the steps that `fit` makes in each epoch on data whose length it knows; None for other data.

    With `steps_per_epoch`, an epoch goes on in the data where the one before ended, and ends where the data ends, so
    that a number of steps that does not divide its length makes shorter epochs in between.

    Args:
        x: The data.
        given: The argument `steps_per_epoch` of `fit`, or None.
        epochs: Number of epochs.
        batch_size: Rows per batch of arrays, or None for the default.
    """
    available = _batches_of_arrays(x, batch_size, given) if is_arrays(x) else data_adapters.batches_known_to_keras(x)
    if available is None or available < 1:
        return None
    steps, left = [], available
    for _ in range(epochs):
        steps.append(min(given or available, left))
        left = left - steps[-1] or available
    return steps


def _batches_of_arrays(x: Nested, batch_size: int | None, given: int | None) -> int:
    size = batch_size_of_fit(x, batch_size, given)
    assert size is not None
    return count_batches(count_rows(x), size)


def fit_knows_length(x: Nested) -> bool:
    """Return whether `fit` knows when it begins how many steps an epoch has."""
    return is_arrays(x) or data_adapters.batches_known_to_keras(x) is not None


def known_batch_size(x: Nested, batch_size: int | None) -> int | None:
    """Return the number of rows per batch, or None if it is unknown because the data comes in batches.

    Args:
        x: The data.
        batch_size: The user's choice, or None. As in `fit`, it has no effect on data that comes in batches.
    """
    return (batch_size or DEFAULT_BATCH_SIZE) if is_arrays(x) else None


def without_validation_split(data: Nested, validation_split: float) -> Nested:
    """Return the rows of arrays that `fit` trains on when it splits the last ones off for validation."""
    if not validation_split:
        return data
    return first_rows(data, int(count_rows(data) * (1 - validation_split)))
