"""How many rows are held out of the training data, and in which order they are drawn."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from onecycle.keras_support.data_sharding import parts_of_batch

HELD_OUT_SHARE = 0.2  # of the rows; the usual choice
MAX_HELD_OUT_ROWS = 10_000  # more hardly help to compare the rates, and are evaluated again and again
MIN_HELD_OUT_ROWS = 10  # with fewer, the scores would be mostly noise


class RandomOrder(Protocol):
    """The source of the order of the rows: a NumPy `RandomState`, or the module `numpy.random`."""

    def permutation(self, x: int, /) -> np.ndarray:
        """Return the numbers 0 to x - 1 in random order."""
        ...


def number_held_out(rows: int) -> int:
    """Return how many of these rows are held out.

    Raises:
        ValueError: If they are too few.
    """
    number = min(round(HELD_OUT_SHARE * rows), MAX_HELD_OUT_ROWS)
    if number < max(MIN_HELD_OUT_ROWS, parts_of_batch()):
        raise ValueError(
            f"The training data has {rows} rows, too few to hold some out to judge the runs: pass `validation_data`."
        )
    return number
