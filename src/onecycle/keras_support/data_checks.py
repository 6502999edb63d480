"""Checks, before any training, of the data that `fit` would get. What Keras refuses keeps Keras' words."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support.data_adapters import check_unsupported_arguments, count_rows, is_arrays, known_length
from onecycle.keras_support.data_sharding import check_all_batches, even_batches_required
from onecycle.keras_support.model_checks import check_targets
from onecycle.keras_support.model_state import is_overridden
from onecycle.suggestions.arguments import check_number, described

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def check_validation_data(model: keras.Model, validation_data: Nested, batch_size: int | None = None) -> None:
    """Check the argument `validation_data` of `fit`.

    Args:
        model: The model.
        validation_data: (x, y), (x, y, sample_weight), a data set, or None.
        batch_size: Rows per batch of arrays in the evaluation, or None for the default.

    Raises:
        ValueError: If a model cannot be evaluated on it.
    """
    if validation_data is None:
        return
    x, y, sample_weight = validation_data, None, None
    if isinstance(validation_data, tuple | list):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(tuple(validation_data))
    if x is None:
        raise ValueError(
            "Argument `validation_data` must be (x, y), (x, y, sample_weight) or a data set. "
            f"Received: validation_data={described(validation_data)}"
        )
    check_rows("validation_data", x, y, sample_weight)
    if is_arrays(x):
        check_targets(model, y, "validation_data")
        check_all_batches("validation_data", count_rows(x), batch_size)
    if not is_overridden(model, "fit"):
        check_unsupported_arguments(x, y, sample_weight, None)


@contextmanager
def batches_required(x: Nested) -> Iterator[None]:
    """Raise a ValueError where Keras finds, within the block, data without a batch, or with one it cannot split.

    Args:
        x: The data that is read. A batch is read again if Keras raises an error that may be due to a lack of batches.
    """
    try:
        with even_batches_required():
            yield
    except StopIteration as error:
        raise ValueError(no_batch_message("x")) from error
    except ValueError as error:
        # On some backends Keras goes on without a batch, and its error does not name the cause.
        if _has_no_batch(x):
            raise ValueError(no_batch_message("x")) from error
        raise


def no_batch_message(name: str) -> str:
    """Return the error message for data without a single batch."""
    return f"Argument `{name}` must have at least one batch. Received: data without batches"


def check_class_weight(class_weight: object) -> None:
    """Check the form of the argument `class_weight` of `fit`.

    Raises:
        TypeError, ValueError: For anything but a dict of integer label -> finite number.
    """
    if class_weight is None:
        return
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "Argument `class_weight` must be a dict of class -> weight, such as {0: 1.0, 1: 5.0}. "
            f"Received: class_weight={described(class_weight)}"
        )
    for label, weight in class_weight.items():
        # Keras looks up the integers of `y`, and finds no other key.
        if not isinstance(label, numbers.Real) or not float(label).is_integer():
            raise ValueError(
                "Argument `class_weight` must have the integer labels of the classes as keys. "
                f"Received: class_weight={described(class_weight)}"
            )
        check_number(f"class_weight[{label}]", weight)


def check_rows(name: str, x: Nested, y: Nested = None, sample_weight: Nested = None) -> None:
    """Check that arrays have rows, and that a data set does not say that it has no batch.

    Args:
        name: Name of the argument that holds the data, for the error message.
        x: Inputs.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.

    Raises:
        ValueError: For data without rows.
    """
    leaves = [leaf for leaf in keras.tree.flatten((x, y, sample_weight)) if leaf is not None and is_arrays(leaf)]
    if any(len(leaf.shape) == 0 for leaf in leaves):
        raise ValueError(
            f"Argument `{name}` must consist of arrays with one row for each sample. "
            "Received: an array without dimensions"
        )
    if any(leaf.shape[0] == 0 for leaf in leaves):
        raise ValueError(f"Argument `{name}` must have at least one row. Received: empty arrays")
    if not leaves and (not keras.tree.flatten(x) or known_length(x) == 0):
        raise ValueError(no_batch_message(name))


def _has_no_batch(x: Nested) -> bool:
    """Return whether a data set of unknown length turns out to be empty when its first batch is read."""
    if is_arrays(x) or isinstance(x, Iterator) or known_length(x) is not None:
        return False
    with suppress(Exception):  # of which the user has seen the first
        return next(iter(x), None) is None
    return False
