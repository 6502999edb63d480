"""What the checks before training look at: some rows of the data, and what the model makes of a batch of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

import keras
import numpy as np

from onecycle.finding.spread_batches import last_batch, spread_batches
from onecycle.keras_support import devices, training_data
from onecycle.keras_support.array_rows import numeric_rows
from onecycle.keras_support.data_adapters import DEFAULT_BATCH_SIZE, first_batch_of_fit, select_rows
from onecycle.keras_support.fit_start import is_built
from onecycle.keras_support.gradients import METHODS, Batch
from onecycle.keras_support.loss_parts import LossPart, loss_parts
from onecycle.keras_support.model_state import fixed_batch_size, is_overridden
from onecycle.keras_support.types import Nested

# ours: enough batches to see whether they are in order, and few enough to read them in a moment
MAX_BATCHES = 128
PROBE_ROWS = 64  # of the batch that the model is called with


class NotChecked(Exception):
    """A check that cannot be made. The message is the reason, as the end of a sentence."""


@dataclass
class Look:
    """A compiled model and its data, as far as it was read.

    Attributes:
        model: The model.
        x: Inputs. Those of a data set are joined from the batches that were read.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, or None.
        batch_size: Rows per batch.
        dataset: The data set, or None for arrays.
        batches: The batches that were read from the data set.
        shuffled: Whether `fit` shuffles the rows.
        outputs: What the model returned for a batch, once that is known.
    """

    model: keras.Model
    x: Nested
    y: Nested = None
    sample_weight: Nested = None
    class_weight: Mapping[int, float] | None = None
    batch_size: int = DEFAULT_BATCH_SIZE
    dataset: Nested = None
    batches: tuple[Nested, ...] = ()
    shuffled: bool = True
    outputs: Nested = None
    _parts: list[LossPart] | None = field(default=None, repr=False)

    def loss_parts(self) -> list[LossPart]:
        """Return the compiled losses with their targets and predictions for a batch.

        Raises:
            NotChecked: If the model computes its loss in its own way.
        """
        self.require_usual_step("compute_loss")
        if self._parts is None:
            self.outputs, self._parts = loss_parts(self.model, self.probe())
        return self._parts

    def probe(self, number: int = 0) -> Batch:
        """Return a batch of rows from all over the data, as `fit` gives it to the model.

        Args:
            number: Which of several such batches, from 0.
        """
        if self.dataset is not None and self.x is None:  # batches that cannot be joined
            return first_batch_of_fit(self.dataset, None)
        rows, size = training_data.count_rows(self.x), fixed_batch_size(self.model)
        if size is not None and size > rows:
            raise NotChecked(f"the model takes batches of {size} rows and the data has {rows}")
        size = size or min(rows, PROBE_ROWS)
        chosen = (np.linspace(0, rows, size, endpoint=False) + number * rows / size / 4).astype(int)
        x, y, weights = (select_rows(part, chosen) for part in (self.x, self.y, self.sample_weight))
        return first_batch_of_fit(x, size, y, weights, self.class_weight)

    def require_usual_step(self, *others: str) -> None:
        """Raise `NotChecked` if the training step of the model is not that of Keras, or cannot be run here.

        Args:
            *others: Further methods that must be those of Keras.
        """
        own = next((name for name in (*METHODS, *others) if is_overridden(self.model, name)), None)
        if own is not None:
            raise NotChecked(f"the model has its own `{own}`")
        if devices.is_distributed(self.model):
            raise NotChecked("the model is distributed among several devices")
        if not is_built(self.model):
            raise NotChecked("the model has no weights yet")


def look_at(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    batch_size: int | None = None,
    sample_weight: Nested = None,
    class_weight: Mapping[int, float] | None = None,
    shuffle: bool = True,
) -> Look:
    """Return what the checks look at. Of a data set, batches from all over it are read.

    Args:
        model: A compiled model.
        x: Training data that can be read again.
        y: Targets, or None.
        batch_size: Rows per batch of arrays, or None for the default.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, or None.
        shuffle: The argument of `fit`, which shuffles the rows of arrays.
    """
    if training_data.is_arrays(x):
        size = batch_size or DEFAULT_BATCH_SIZE
        return Look(model, x, y, sample_weight, class_weight, size, shuffled=shuffle)
    batches = tuple(islice(spread_batches(x, MAX_BATCHES), MAX_BATCHES))
    parts = [_unpacked(batch) for batch in batches]
    # The last one, which may be short, is known where it can be read by its number.
    batches += tuple(last_batch(x)) if len(batches) == MAX_BATCHES else ()
    try:
        rows = keras.tree.map_structure(_joined, *parts) if len(parts) > 1 else parts[0]
    except (TypeError, ValueError):
        rows = (None, None, None)
    joined_x, joined_y, joined_weights = rows
    size = training_data.count_rows(parts[0]) if training_data.is_arrays(parts[0]) else DEFAULT_BATCH_SIZE
    return Look(
        model, joined_x, joined_y, joined_weights, class_weight, size, dataset=x, batches=batches, shuffled=False
    )


def _unpacked(batch: Nested) -> Batch:
    parts = keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list) else batch)
    return parts[0], parts[1], parts[2]


def _joined(*leaves: Nested) -> Nested:
    if leaves[0] is None:
        return None
    arrays = [numeric_rows(leaf, slice(None)) for leaf in leaves]
    # Raises a TypeError for text, and for sparse and ragged tensors.
    return np.concatenate(arrays)  # type: ignore[arg-type]
