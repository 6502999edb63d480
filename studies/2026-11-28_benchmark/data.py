"""The data of a task: rows for training, for the pickers' own judgement, and for the score."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]
SELECTION_ROWS, TEST_ROWS = 2000, 3000
HELD_OUT = SELECTION_ROWS + TEST_ROWS


class Data(NamedTuple):
    """Three disjoint parts of a data set, each (inputs, targets).

    Attributes:
        train: The rows that runs train on.
        selection: Rows on which pickers may judge, and on which tasks are admitted.
        test: Rows that only score.
    """

    train: Pair
    selection: Pair
    test: Pair

    def fingerprint(self) -> str:
        """Return a digest of all values, so that records of other data are noticed."""
        digest = hashlib.sha256()
        for array in (array for part in self for array in part):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def parts(x: np.ndarray, y: np.ndarray, rows: int) -> Data:
    """Return the first rows for training and the next ones for selection and test."""
    x = x if x.dtype.kind == "i" else x.astype("float32")
    y = y.astype("int32") if y.dtype.kind in "iu" else y.astype("float32")
    end = rows + SELECTION_ROWS
    if len(x) < rows + HELD_OUT:
        raise ValueError(f"A task with {rows} training rows needs {rows + HELD_OUT} rows. Received: {len(x)}")
    return Data((x[:rows], y[:rows]), (x[rows:end], y[rows:end]), (x[end : end + TEST_ROWS], y[end : end + TEST_ROWS]))
