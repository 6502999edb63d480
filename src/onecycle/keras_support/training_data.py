"""Properties of training data that have to be known before `fit` reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support.data_checks import check_class_weight, check_rows
from onecycle.keras_support.model_checks import check_loss, check_targets, check_trainable
from onecycle.keras_support.model_state import flattened_layers
from onecycle.suggestions.arguments import check_integer, described

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onecycle.keras_support.types import Nested

DEFAULT_BATCH_SIZE = 32  # that of `Model.fit`


def check_data(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    batch_size: int | None = None,
    sample_weight: Nested = None,
    class_weight: Mapping[int, float] | None = None,
) -> None:
    """Check that a model can be trained on the data. Nothing is read from it.

    Args:
        model: The model.
        x: Inputs, as `Model.fit` takes them.
        y: Targets, or None.
        batch_size: Rows per batch, or None for the default.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, or None.

    Raises:
        TypeError, ValueError: For no data, arrays without rows, or an invalid batch size or class weight.
    """
    if x is None or isinstance(x, keras.layers.Layer):
        raise ValueError(f"Argument `x` must be training data, as `Model.fit` takes it. Received: x={described(x)}")
    if batch_size is not None:
        check_integer("batch_size", batch_size)
    check_class_weight(class_weight)
    check_rows("x", x, y, sample_weight)
    if is_arrays(x):
        check_targets(model, y)


def is_arrays(x: Nested) -> bool:
    """Return whether the data consists of arrays, or of nested lists and dicts of arrays."""
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(leaf is None or (hasattr(leaf, "shape") and hasattr(leaf, "dtype")) for leaf in leaves)


def is_one_shot(x: Nested) -> bool:
    """Return whether the data can be read only once, as a generator or another iterator can."""
    return isinstance(x, Iterator)


def count_rows(data: Nested) -> int:
    """Return the number of rows of nested arrays, some of which may be None."""
    return int(next(leaf for leaf in keras.tree.flatten(data) if leaf is not None).shape[0])


def count_batches(rows: int, batch_size: int) -> int:
    """Return the number of batches of an epoch, the last one of which may be short."""
    return -(-rows // batch_size)


def first_rows(data: Nested, rows: int) -> Nested:
    """Return the first rows of nested arrays, some of which may be None."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[:rows], data)


def known_batch_size(x: Nested, batch_size: int | None) -> int | None:
    """Return the number of rows per batch, or None if it is unknown because the data comes in batches.

    Args:
        x: The data.
        batch_size: The user's choice, or None.
    """
    if batch_size is not None:
        return batch_size
    return DEFAULT_BATCH_SIZE if is_arrays(x) else None


def without_validation_split(data: Nested, validation_split: float) -> Nested:
    """Return the rows of arrays that `fit` trains on when it splits the last ones off for validation."""
    if not validation_split:
        return data
    return first_rows(data, int(count_rows(data) * (1 - validation_split)))


def build_model(model: keras.Model, x: Nested, y: Nested, batch_size: int | None) -> None:
    """Create the weights of a model that has none yet, by calling it on one batch.

    Args:
        model: The model.
        x: The data.
        y: Targets, or None.
        batch_size: Rows per batch, or None for the default.

    Raises:
        ValueError: If the data is a generator, which would lose its first batch.
    """
    if all(layer.built for layer in flattened_layers(model)):
        check_built_model(model, x, batch_size)
        return
    if is_one_shot(x):
        raise ValueError(
            "The model has no weights yet and the data is a generator, which would lose its first batch in creating "
            "them. Call the model on a batch of data first."
        )
    model(_first_inputs(x, batch_size))
    check_built_model(model, x, batch_size)


def check_built_model(model: keras.Model, x: Nested, batch_size: int | None) -> None:
    """Check that a model that is built has trainable weights and a loss.

    Args:
        model: The model.
        x: The data, of which a batch is read if the model is compiled without a loss.
        batch_size: Rows per batch, or None for the default.

    Raises:
        ValueError: If it has none.
    """
    check_trainable(model)
    check_loss(model, None if is_one_shot(x) else lambda: _first_inputs(x, batch_size))


def _first_inputs(x: Nested, batch_size: int | None) -> Nested:
    if is_arrays(x):
        return first_rows(x, batch_size or DEFAULT_BATCH_SIZE)
    batch = x[0] if isinstance(x, keras.utils.PyDataset) else next(iter(x))
    return batch[0] if isinstance(batch, (tuple, list)) else batch
