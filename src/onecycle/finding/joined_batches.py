"""The batches of a data set in memory, joined to arrays where that is possible."""

from __future__ import annotations

import keras
import numpy as np

from onecycle.finding.spread_batches import spread_batches
from onecycle.keras_support import training_data
from onecycle.keras_support.types import Nested

MAX_BYTES = 2**31  # of a data set, kept in memory

Rows = tuple[Nested, Nested, Nested]  # x, y and sample_weight, of which some may be None


def read_batches(dataset: Nested, steps: int) -> list[Nested]:
    """Return this number of batches, or fewer if they take too much memory."""
    batches: list[Nested] = []
    size = 0
    for batch in spread_batches(dataset, steps):
        batches.append(batch)
        size += sum(getattr(leaf, "nbytes", 0) for leaf in keras.tree.flatten(batch))
        if size > MAX_BYTES:
            break
    if not batches:
        raise ValueError("Argument `x` must have at least one batch. Received: data without batches")
    return batches


def joined_batches(batches: list[Nested]) -> Rows | None:
    """Return all batches as arrays (x, y, sample_weight); None if they are not dense or differ in shape."""
    parts = [keras.utils.unpack_x_y_sample_weight(batch) for batch in batches]
    if not all(training_data.is_arrays(part) and training_data.has_dense_arrays(part) for part in parts):
        return None
    try:
        return keras.tree.map_structure(
            lambda *leaves: None if leaves[0] is None else np.concatenate(list(map(training_data.as_numpy, leaves))),
            *parts,
        )
    except ValueError:
        return None


def check_equal_rows(data: Rows) -> None:
    """Raise a ValueError if the joined batches have other numbers of rows, as single samples have."""
    rows = sorted({int(leaf.shape[0]) for leaf in keras.tree.flatten(data) if leaf is not None})
    if len(rows) > 1:
        raise ValueError(
            "A data set must yield batches with the same number of rows of inputs and of targets. Put single samples "
            f"in batches. Received: {' and '.join(map(str, rows))} rows"
        )
