"""The data of a sweep: arrays to train on, and the data on which its runs are judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import keras
import numpy as np

from onecycle.keras_support import training_data
from onecycle.keras_support.data_checks import check_validation_data
from onecycle.keras_support.types import Nested

HELD_OUT_SHARE = 0.2  # of the rows; the usual choice
MAX_HELD_OUT_ROWS = 10_000  # more hardly help to compare the rates, and are evaluated after each run
MIN_HELD_OUT_ROWS = 10  # with fewer, the scores would be mostly noise
MAX_BYTES = 2**31  # of a data set, kept in memory

Rows = tuple[Nested, Nested, Nested]  # x, y and sample_weight, of which some may be None
Data = TypeVar("Data", bound=Nested)


class RandomOrder(Protocol):
    """The source of the order of the rows: a NumPy `RandomState`, or the module `numpy.random`."""

    def permutation(self, x: int, /) -> np.ndarray:
        """Return the numbers 0 to x - 1 in random order."""
        ...


@dataclass(frozen=True)
class SweepData:
    """The data that the runs of a sweep are trained on and judged on.

    Attributes:
        train: (x, y, sample_weight), arrays in random order.
        validation: The data on which the runs are judged, as `fit` takes it.
        batch_size: Rows per batch.
        steps_per_epoch: Steps per epoch of the whole data, held-out rows included.
        description: A sentence on the held-out data.
    """

    train: Rows
    validation: Nested
    batch_size: int
    steps_per_epoch: int
    description: str

    @property
    def train_steps_per_epoch(self) -> int:
        """Steps per epoch of the training part alone."""
        return training_data.count_batches(training_data.count_rows(self.train), self.batch_size)

    def first(self, steps: int) -> Rows:
        """Return (x, y, sample_weight) of the first `steps` batches."""
        return select_rows(self.train, slice(steps * self.batch_size))


def check_sweep_data(x: Nested, validation_data: Nested) -> None:
    """Check that data can be read more than once, and that validation data has a valid form.

    Args:
        x: Training data.
        validation_data: Validation data, or None.

    Raises:
        ValueError: For a generator, or a tuple of another length than 2 or 3.
    """
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
    if isinstance(validation_data, tuple | list) and len(validation_data) not in (2, 3):
        raise ValueError(
            "Argument `validation_data` must be (x, y), (x, y, sample_weight) or a data set. "
            f"Received: a {type(validation_data).__name__} of {len(validation_data)}"
        )
    check_validation_data(validation_data)


def prepare_sweep_data(
    x: Nested,
    y: Nested,
    sample_weight: Nested,
    *,
    batch_size: int | None,
    validation_data: Nested,
    random: RandomOrder,
    share: float,
) -> SweepData:
    """Return the data of a sweep, in a random order, with a part held out where no validation data is given.

    Args:
        x: Training data: arrays, or a data set with a known length.
        y: Targets, or None.
        sample_weight: Sample weights, or None.
        batch_size: Rows per batch for arrays; 32 by default.
        validation_data: As `fit` takes it; None holds out a part of the training data.
        random: Draws the order of the rows.
        share: Part of an epoch that the longest run reads, so that no more of a data set is read.

    Raises:
        ValueError: For data of unknown length, too few rows to hold any out, or batches of different shapes.
    """
    if training_data.is_arrays(x):
        size, data = batch_size or training_data.DEFAULT_BATCH_SIZE, (x, y, sample_weight)
        steps = training_data.count_batches(training_data.count_rows(data), size)
    else:
        steps = _steps_of(x)
        size, data = _read_batches(x, max(1, min(steps, round(steps * share / (1 - HELD_OUT_SHARE)) + 1)))
    order = random.permutation(training_data.count_rows(data))
    if validation_data is not None:
        return SweepData(select_rows(data, order), validation_data, size, steps, "Judged on `validation_data`.")
    held_out = _number_held_out(len(order))
    validation = tuple(part for part in select_rows(data, order[:held_out]) if part is not None)
    description = (
        f"Judged on {held_out} of {len(order)} training rows, drawn at random and not trained on in the sweep."
    )
    return SweepData(select_rows(data, order[held_out:]), validation, size, steps, description)


def select_rows(data: Data, rows: np.ndarray | slice) -> Data:
    """Return these rows of nested arrays as NumPy arrays."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else _to_numpy(leaf)[rows], data)


def _number_held_out(rows: int) -> int:
    number = min(round(HELD_OUT_SHARE * rows), MAX_HELD_OUT_ROWS)
    if number < MIN_HELD_OUT_ROWS:
        raise ValueError(
            f"The training data has {rows} rows, too few to hold some out to judge the runs: pass `validation_data`."
        )
    return number


def _to_numpy(leaf: keras.KerasTensor | np.ndarray) -> np.ndarray:
    return leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)


def _steps_of(dataset: Nested) -> int:
    try:
        return len(dataset)
    except TypeError as error:
        raise ValueError(
            "The length of this data set is unknown, and so is that of the full run. Pass arrays, "
            "or a data set with a length (in `tf.data`, `dataset.apply(tf.data.experimental.assert_cardinality(n))`)."
        ) from error


def _read_batches(dataset: Nested, steps: int) -> tuple[int, Rows]:
    """Return the number of rows per batch, and this number of batches joined as arrays."""
    batches: list[Rows] = []
    size = 0
    for batch in _first_batches(dataset, steps):
        if isinstance(batch, str):  # iterating over a pandas object gives the names of its columns
            raise ValueError(
                "Argument `x` must be arrays or a data set of batches. "
                f"Received: {type(dataset).__name__}. Pass arrays; for a pandas object, `x.to_numpy()`."
            )
        parts = keras.utils.unpack_x_y_sample_weight(batch)
        batches.append(select_rows(parts, slice(None)))
        size += sum(leaf.nbytes for leaf in keras.tree.flatten(batches[-1]) if leaf is not None)
        if size > MAX_BYTES:
            break
    if not batches:
        raise ValueError("Argument `x` must have at least one batch. Received: data without batches")
    return training_data.count_rows(batches[0]), _joined(batches)


def _joined(batches: list[Rows]) -> Rows:
    try:
        return keras.tree.map_structure(lambda *parts: None if parts[0] is None else np.concatenate(parts), *batches)
    except ValueError as error:
        raise ValueError(
            "The batches of this data set differ in shape, so they cannot be joined to arrays. Pass data whose batches "
            "have the same shape, for example padded to one length."
        ) from error


def _first_batches(dataset: Nested, steps: int) -> Iterable[Nested]:
    if isinstance(dataset, keras.utils.PyDataset):
        return (dataset[k] for k in range(steps))
    return (batch for _, batch in zip(range(steps), dataset, strict=False))
