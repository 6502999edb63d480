"""The first batch of a data set, to look at before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from onecycle.keras_support.training_data import is_one_shot

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def first_batch(dataset: Nested) -> tuple[Nested, Nested, Nested]:
    """Return (x, y, sample_weight) of the first batch; None for parts that it lacks.

    Args:
        dataset: Data that comes in batches. A generator, which would lose the batch, has (None, None, None).
    """
    if is_one_shot(dataset):
        return None, None, None
    batch = dataset[0] if isinstance(dataset, keras.utils.PyDataset) else next(iter(dataset), None)
    parts = keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list) else batch)
    return parts[0], parts[1], parts[2]
