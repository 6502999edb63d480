"""The data of a sweep: arrays in memory, and beside them what its runs are judged on and never train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from onecycle.keras_support import training_data

SHARE = 0.2  # of the rows, held out; usual, and what the article's protocol takes to choose a constant rate
MOST_HELD_OUT = 10_000  # rows: more tell the rates apart no better and have to be evaluated after each run
LEAST_HELD_OUT = 10  # rows: fewer tell nothing
MOST_BYTES = 2**31  # of a data set that are kept in memory


@dataclass(frozen=True)
class Holding:
    """What a sweep trains and judges on.

    Attributes:
        train: (x, y, sample_weight), arrays in an order without meaning.
        validation: What the runs are judged on, as `fit` takes it.
        batch_size: Rows of a batch.
        steps_per_epoch: Steps of an epoch of all the data that were given, held-out rows included.
        told: What is held out, in a sentence.
    """

    train: tuple[Any, Any, Any]
    validation: Any
    batch_size: int
    steps_per_epoch: int
    told: str

    @property
    def steps(self) -> int:
        """Steps of an epoch of what is trained on."""
        return -(-training_data.rows(self.train) // self.batch_size)

    def first(self, steps: int) -> tuple[Any, Any, Any]:
        """(x, y, sample_weight) of so many steps of an epoch."""
        x, y, sample_weight = taken(self.train, slice(steps * self.batch_size))
        return x, y, sample_weight


def check(x: Any, validation_data: Any) -> None:
    """Raise for data that cannot be read more than once, or not held in part."""
    if training_data.is_one_shot(x):
        raise ValueError(
            "Argument `x` must be data that can be read again, since each run of a sweep reads it. "
            "Received: a generator"
        )
    if training_data.is_one_shot(validation_data):
        raise ValueError(
            "Argument `validation_data` must be data that can be read again, since each run is judged on it. "
            "Received: a generator"
        )
    if isinstance(validation_data, (tuple, list)) and len(validation_data) not in (2, 3):
        raise ValueError(
            "Argument `validation_data` must be (x, y), (x, y, sample_weight) or a data set. "
            f"Received: a {type(validation_data).__name__} of {len(validation_data)}"
        )


def hold(
    x: Any, y: Any, sample_weight: Any, *, batch_size: int | None, validation_data: Any, random: Any, share: float
) -> Holding:
    """The data of a sweep.

    Args:
        validation_data: As `fit` takes it; None holds out a part of the data themselves.
        random: NumPy's generator of the order of the rows.
        share: Of an epoch, what the longest run reads, so that no more is read of a data set.
    """
    if training_data.is_arrays(x):
        size, data = batch_size or training_data.DEFAULT_BATCH_SIZE, (x, y, sample_weight)
        steps = -(-training_data.rows(data) // size)
    else:
        steps = _length(x)
        size, data = _gathered(x, max(1, min(steps, round(steps * share / (1 - SHARE)) + 1)))
    order = random.permutation(training_data.rows(data))
    if validation_data is not None:
        held = "Judged on `validation_data`."
        return Holding(taken(data, order), validation_data, size, steps, held)
    many = min(round(SHARE * len(order)), MOST_HELD_OUT)
    if many < LEAST_HELD_OUT:
        raise ValueError(
            f"Of {len(order)} rows of training data too few could be held out to judge the runs by: pass "
            "`validation_data`."
        )
    told = f"Judged on {many} of {len(order)} training rows, drawn at random and not trained on in the sweep."
    held_out = tuple(part for part in taken(data, order[:many]) if part is not None)
    return Holding(taken(data, order[many:]), held_out, size, steps, told)


def taken(data: Any, rows: Any) -> Any:
    """These rows of nested arrays, in NumPy."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else _numpy(leaf)[rows], data)


def _numpy(leaf: Any) -> Any:
    return leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)


def _length(dataset: Any) -> int:
    try:
        return len(dataset)
    except TypeError as error:
        raise ValueError(
            "The length of an epoch of this data set is not known, so neither is that of the whole run. Pass arrays, "
            "or a data set with a length (in `tf.data`, `dataset.apply(tf.data.experimental.assert_cardinality(n))`)."
        ) from error


def _gathered(dataset: Any, steps: int) -> tuple[int, tuple[Any, Any, Any]]:
    """Rows of a batch, and that many batches as arrays."""
    found, size = [], 0
    for batch in _batches(dataset, steps):
        if isinstance(batch, str):  # the name of a column
            raise ValueError(
                "Argument `x` must be arrays or a data set of batches. "
                f"Received: {type(dataset).__name__}. Pass arrays, of pandas `x.to_numpy()`."
            )
        parts = keras.utils.unpack_x_y_sample_weight(batch)
        found.append(keras.tree.map_structure(lambda leaf: None if leaf is None else _numpy(leaf), parts))
        size += sum(leaf.nbytes for leaf in keras.tree.flatten(found[-1]) if leaf is not None)
        if size > MOST_BYTES:
            break
    if not found:
        raise ValueError("Argument `x` must have at least one batch. Received: data without any")
    try:
        joined = keras.tree.map_structure(lambda *own: None if own[0] is None else np.concatenate(own), *found)
    except ValueError as error:
        raise ValueError(
            "The batches of this data set differ in shape, so a part of them cannot be held as arrays. Pass data whose "
            "batches are alike, for example padded to one length."
        ) from error
    return training_data.rows(found[0]), joined


def _batches(dataset: Any, steps: int) -> Any:
    if isinstance(dataset, keras.utils.PyDataset):
        return (dataset[k] for k in range(steps))
    return (batch for _, batch in zip(range(steps), dataset, strict=False))
