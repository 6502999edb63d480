"""The data of a sweep: arrays to train on, and the data on which its runs are judged."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import keras
import numpy as np

from onecycle.finding.joined_batches import Rows, check_equal_rows, joined_batches, read_batches
from onecycle.finding.spread_batches import order_hint_of
from onecycle.keras_support import training_data
from onecycle.keras_support.batch_list import BatchList
from onecycle.keras_support.data_checks import check_validation_data
from onecycle.keras_support.data_sharding import check_full_batches, evenly_divided_rows, parts_of_batch
from onecycle.keras_support.kept_rows import kept_rows
from onecycle.keras_support.model_state import fixed_batch_size
from onecycle.keras_support.types import Nested

HELD_OUT_SHARE = 0.2  # of the rows; the usual choice
MAX_HELD_OUT_ROWS = 10_000  # more hardly help to compare the rates, and are evaluated after each run
MIN_HELD_OUT_ROWS = 10  # with fewer, the scores would be mostly noise


class RandomOrder(Protocol):
    """The source of the order of the rows: a NumPy `RandomState`, or the module `numpy.random`."""

    def permutation(self, x: int, /) -> np.ndarray:
        """Return the numbers 0 to x - 1 in random order."""
        ...


@dataclass(frozen=True)
class SweepData:
    """The data that the runs of a sweep are trained on and judged on.

    Attributes:
        train: (x, y, sample_weight), arrays in random order; or batches that cannot be joined to arrays.
        validation: The data on which the runs are judged, as `fit` takes it.
        batch_size: Rows per batch.
        steps_per_epoch: Steps per epoch of the full run, which trains on the held-out rows too.
        description: A sentence on the held-out data.
        hint: A sentence on the order of a data set, with the remedy; None where its targets look shuffled.
    """

    train: Rows | BatchList
    validation: Nested
    batch_size: int
    steps_per_epoch: int
    description: str
    hint: str | None = None

    @property
    def fit_batch_size(self) -> int | None:
        """The argument `batch_size` of `fit`: None for data that comes in batches."""
        return None if isinstance(self.train, BatchList) else self.batch_size

    @property
    def train_steps_per_epoch(self) -> int:
        """Steps per epoch of the training part alone."""
        if isinstance(self.train, BatchList):
            return len(self.train)
        return training_data.count_batches(training_data.count_rows(self.train), self.batch_size)

    def first(self, steps: int) -> Rows:
        """Return (x, y, sample_weight) of the first `steps` batches, as `fit` takes them."""
        if isinstance(self.train, BatchList):
            return self.train.select(slice(steps)).dataset(), None, None
        return training_data.first_rows(self.train, steps * self.batch_size)

    def all(self) -> Rows:
        """Return (x, y, sample_weight) of all batches, as `fit` takes them."""
        return self.first(self.train_steps_per_epoch)


def check_sweep_data(model: keras.Model, x: Nested, validation_data: Nested, batch_size: int | None) -> None:
    """Check that data can be read more than once, and that validation data has a valid form.

    Args:
        model: The model.
        x: Training data.
        validation_data: Validation data, or None.
        batch_size: Rows per batch of arrays, or None for the default.

    Raises:
        ValueError: For a generator, and for validation data that `fit` does not take.
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
    check_validation_data(model, validation_data, batch_size)


def prepare_sweep_data(
    model: keras.Model,
    x: Nested,
    y: Nested,
    sample_weight: Nested,
    *,
    batch_size: int | None,
    steps_per_epoch: int | None = None,
    validation_data: Nested,
    random: RandomOrder,
    epochs_read: float,
) -> SweepData:
    """Return the data of a sweep, in a random order, with a part held out where no validation data is given.

    Args:
        model: The model.
        x: Training data: arrays, or a data set.
        y: Targets, or None.
        sample_weight: Sample weights, or None.
        batch_size: Rows per batch for arrays; 32 by default.
        steps_per_epoch: As in `fit`. Required for a data set of unknown length.
        validation_data: As `fit` takes it; None holds out a part of the training data.
        random: Draws the order of the rows.
        epochs_read: Epochs that the longest run reads, so that no more of a data set is read.

    Raises:
        ValueError: For data of unknown length, or too few rows to hold any out.
    """
    if training_data.has_own_fit(model):
        x, y, sample_weight = training_data.lists_as_arrays((x, y, sample_weight))
    steps = training_data.steps_per_epoch(x, batch_size, steps_per_epoch)
    if steps is None:
        raise ValueError(_UNKNOWN_LENGTH)
    if training_data.is_arrays((x, y, sample_weight)):
        size = batch_size or training_data.DEFAULT_BATCH_SIZE
        data, needed = (x, y, sample_weight), None
        if training_data.is_large(data):
            needed = size * math.ceil(steps * epochs_read)
        return _split_rows(model, data, size, steps, validation_data, random, needed)
    # The longest run may read more than an epoch, where that is a part of the data.
    wanted, available = round(steps * epochs_read / (1 - HELD_OUT_SHARE)) + 1, training_data.steps_per_epoch(x, None)
    batches = read_batches(x, wanted if available is None else min(wanted, available))
    joined = None if training_data.has_own_fit(model) else joined_batches(batches)
    if joined is None:
        found = _split_batches(BatchList(batches, x), steps, validation_data, random)
    else:
        check_equal_rows(joined)
        size = training_data.count_rows(batches[0])
        check_full_batches(joined[0], size)
        found = _split_rows(model, joined, size, steps, validation_data, random)
    return replace(found, hint=order_hint_of(batches))


def _split_rows(
    model: keras.Model,
    data: Rows,
    size: int,
    steps: int,
    validation_data: Nested,
    random: RandomOrder,
    needed: int | None = None,
) -> SweepData:
    """Return arrays in a random order, with a part held out.

    Args:
        model: The model.
        data: (x, y, sample_weight).
        size: Rows per batch.
        steps: Steps per epoch of the full run.
        validation_data: Data to judge on, or None to hold out a part.
        random: Draws the order.
        needed: Number of rows that the longest run reads; None keeps all rows.
    """
    fixed = fixed_batch_size(model)
    order = random.permutation(training_data.count_rows(data))
    held_out = 0 if validation_data is not None else number_held_out(len(order))
    train = evenly_divided_rows(kept_rows(data, order[held_out:][:needed]), fixed)
    if validation_data is not None:
        return SweepData(train, validation_data, size, steps, _GIVEN)
    held_out_rows = evenly_divided_rows(kept_rows(data, order[:held_out]), fixed)
    validation = tuple(part for part in held_out_rows if part is not None)
    description = f"Judged on {training_data.count_rows(validation)} of {len(order)} {_NOT_TRAINED_ON}"
    return SweepData(train, validation, size, steps, description)


def _split_batches(batches: BatchList, steps: int, validation_data: Nested, random: RandomOrder) -> SweepData:
    """Hold out whole batches, for data whose rows only the data set itself can join."""
    order, size = random.permutation(len(batches)).tolist(), batches.batch_size()
    if validation_data is not None:
        return SweepData(batches.select(order), validation_data, size, steps, _GIVEN)
    rows = batches.rows()
    held_out = max(1, number_held_out(rows) // size)
    if held_out == len(batches):
        raise ValueError(_TOO_FEW_ROWS.format(rows=rows))
    validation = batches.select(order[:held_out])
    description = f"Judged on {validation.rows()} of {rows} {_NOT_TRAINED_ON}"
    return SweepData(batches.select(order[held_out:]), validation.dataset(), size, steps, description)


def number_held_out(rows: int) -> int:
    """Return how many of these rows are held out.

    Raises:
        ValueError: If they are too few.
    """
    number = min(round(HELD_OUT_SHARE * rows), MAX_HELD_OUT_ROWS)
    if number < max(MIN_HELD_OUT_ROWS, parts_of_batch()):
        raise ValueError(_TOO_FEW_ROWS.format(rows=rows))
    return number


_GIVEN = "Judged on `validation_data`."
_NOT_TRAINED_ON = "training rows, drawn at random and not trained on in the sweep."
_TOO_FEW_ROWS = "The training data has {rows} rows, too few to hold some out to judge the runs: pass `validation_data`."
_UNKNOWN_LENGTH = (
    "The length of this data set is unknown, and so is that of the full run. Pass `steps_per_epoch`, arrays, or a data "
    "set with a length (in `tf.data`, `dataset.apply(tf.data.experimental.assert_cardinality(n))`)."
)
