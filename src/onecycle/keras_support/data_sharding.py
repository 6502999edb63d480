"""The splitting of each batch among the devices of a `keras.distribution`, which JAX refuses for uneven parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support import backends, devices
from onecycle.keras_support.data_adapters import DEFAULT_BATCH_SIZE, count_rows, is_arrays, select_rows

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def parts_of_batch() -> int:
    """Return among how many devices Keras splits each batch of this process, whose rows must be a multiple of it."""
    distribution = keras.distribution.distribution()
    # Only on JAX does Keras split the data of `fit`.
    if distribution is None or distribution.batch_dim_name is None or not backends.is_functional():
        return 1
    mesh = distribution.device_mesh
    parts = mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
    return max(1, int(parts) // devices.count_processes())


def check_full_batches(x: Nested, batch_size: int | None) -> None:
    """Check that the full batches of arrays can be split evenly among the devices.

    Args:
        x: Inputs. Nothing is known about the batches of a data set.
        batch_size: Rows per batch, or None for the default.

    Raises:
        ValueError: If they cannot.
    """
    parts, size = parts_of_batch(), batch_size or DEFAULT_BATCH_SIZE
    if size % parts and is_arrays(x) and count_rows(x) >= size:
        raise ValueError(
            f"Argument `batch_size` must be a multiple of {parts}, the number of devices among which "
            f"`keras.distribution` splits each batch. Received: batch_size={size}"
        )


def check_all_batches(name: str, rows: int, batch_size: int | None) -> None:
    """Check that all batches of arrays, the last one included, can be split evenly among the devices.

    Args:
        name: Name of the argument that determines the rows, for the error message.
        rows: Number of rows of the arrays.
        batch_size: Rows per batch, or None for the default.

    Raises:
        ValueError: If they cannot.
    """
    parts, size = parts_of_batch(), batch_size or DEFAULT_BATCH_SIZE
    if rows % parts or (rows > size and size % parts):
        raise ValueError(
            f"Argument `{name}` must have batches that divide evenly among the {parts} devices of "
            f"`keras.distribution`, the last batch too. Pass a number of rows and a `batch_size` that are multiples of "
            f"{parts}. Received: {rows} rows with a batch size of {size}"
        )


def evenly_divided_rows(data: Nested, fixed_batch_size: int | None = None) -> Nested:
    """Return nested arrays without the last rows that Keras would refuse; others unchanged.

    Args:
        data: Nested arrays. If they are anything else, or too few to be divided, they are left for Keras to refuse.
        fixed_batch_size: Rows of each batch that the model takes, or None. Otherwise a batch must only be split evenly
            among the devices.
    """
    divisor = fixed_batch_size or parts_of_batch()
    if divisor == 1 or not is_arrays(data):
        return data
    rows = count_rows(data)
    return select_rows(data, slice(rows - rows % divisor)) if rows % divisor and rows > divisor else data


@contextmanager
def even_batches_required() -> Iterator[None]:
    """Raise a ValueError with the remedy where JAX cannot split a batch of a data set within the block."""
    try:
        yield
    except ValueError as error:
        if type(error).__name__ != "IndivisibleError":  # of `jax`, which gives it no public name
            raise
        raise ValueError(
            f"Every batch of a data set, the last one too, must divide evenly among the {parts_of_batch()} devices of "
            "`keras.distribution`. In `tf.data`, `dataset.batch(size, drop_remainder=True)` leaves out the last rows. "
            f"{error}"
        ) from error
