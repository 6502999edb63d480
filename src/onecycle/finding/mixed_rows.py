"""The rows of a data set in order, mixed, for a range test on them."""

from __future__ import annotations

import keras
import numpy as np

from onecycle.finding.data_order import Order
from onecycle.finding.fit_runs import FitData
from onecycle.finding.spread_batches import spread_batches
from onecycle.keras_support import training_data
from onecycle.keras_support.array_rows import numeric_rows
from onecycle.keras_support.data_adapters import known_length
from onecycle.keras_support.data_sharding import evenly_divided_rows
from onecycle.keras_support.types import Nested


def mixed_rows(data: FitData, order: Order | None, steps: int) -> FitData | None:
    """Return data whose rows come from all over a data set in order, as arrays, which `fit` shuffles.

    Args:
        data: The data of a range test.
        order: How its batches differ.
        steps: Steps of the range test, and so the number of batches to read.

    Returns:
        None for data that is not in order, or that can be read only once or only in its order: of unknown length, or
        with batches of different shapes or without numbers.
    """
    dataset = data["x"]
    if order not in (Order.SORTED, Order.CONSTANT) or training_data.is_arrays(dataset):
        return None
    if training_data.is_one_shot(dataset) or known_length(dataset) is None:
        return None
    batches = [_arrays(batch) for batch in spread_batches(dataset, steps)]
    try:
        x, y, sample_weight = keras.tree.map_structure(
            lambda *leaves: None if leaves[0] is None else np.concatenate(leaves), *batches
        )
    except ValueError:
        return None
    if order is Order.CONSTANT and (y is None or _is_constant(y)):
        return None
    size = training_data.count_rows(batches[0])
    x, y, sample_weight = evenly_divided_rows((x, y, sample_weight))
    return {**data, "x": x, "y": y, "sample_weight": sample_weight, "batch_size": size}


def _arrays(batch: Nested) -> tuple[Nested, Nested, Nested]:
    parts = keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list) else batch)
    x, y, weights = (keras.tree.map_structure(_array, part) for part in parts)
    return x, y, weights


def _array(leaf: Nested) -> Nested:
    return None if leaf is None else numeric_rows(leaf, slice(None))


def _is_constant(y: Nested) -> bool:
    return all((leaf == leaf[:1]).all() for leaf in keras.tree.flatten(y) if leaf is not None)
