"""What has to be known of a person's data before `fit` sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

DEFAULT_BATCH_SIZE = 32  # Keras' own, `Model.fit`


def is_arrays(x: Any) -> bool:
    """Whether the data is given as arrays, or nested lists and dicts of them."""
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(leaf is None or (hasattr(leaf, "shape") and hasattr(leaf, "dtype")) for leaf in leaves)


def is_one_shot(x: Any) -> bool:
    """Whether what is drawn from the data is gone: a generator or another iterator."""
    return isinstance(x, Iterator)


def rows(data: Any) -> int:
    """Rows of nested arrays, of which some may be None."""
    return int(next(leaf for leaf in keras.tree.flatten(data) if leaf is not None).shape[0])


def check(x: Any, y: Any, batch_size: int | None) -> None:
    """Raise for data that no model could be trained on: none, or arrays without rows."""
    if x is None:
        raise ValueError("Argument `x` must be training data, as `Model.fit` takes it. Received: x=None")
    if not is_arrays(x):
        return
    if 0 in {leaf.shape[0] for leaf in keras.tree.flatten((x, y)) if leaf is not None}:
        raise ValueError("Argument `x` must have at least one row. Received: empty arrays")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"Argument `batch_size` must be >= 1. Received: batch_size={batch_size}")


def before_split(data: Any, validation_split: float) -> Any:
    """What is left of arrays to train on once `fit` has cut its `validation_split` off their end."""
    if not validation_split:
        return data
    kept = int(rows(data) * (1 - validation_split))
    return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[:kept], data)


def batch_size(x: Any, asked: int | None) -> int | None:
    """Rows of a batch, where that is known: it is for arrays."""
    if asked is not None:
        return asked
    return DEFAULT_BATCH_SIZE if is_arrays(x) else None


def build(model: Any, x: Any, y: Any, asked: int | None) -> None:
    """Give a model that has no weights yet its weights, by calling it on one batch."""
    if all(layer.built for layer in model._flatten_layers()):
        return
    if is_one_shot(x):
        raise ValueError(
            "The model has no weights yet and the data is a generator, whose first batch would be lost in making them. "
            "Call the model on a batch of data first."
        )
    model(_first_inputs(x, asked))


def _first_inputs(x: Any, asked: int | None) -> Any:
    if is_arrays(x):
        return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[: batch_size(x, asked)], x)
    batch = x[0] if isinstance(x, keras.utils.PyDataset) else next(iter(x))
    return batch[0] if isinstance(batch, (tuple, list)) else batch
