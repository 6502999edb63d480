"""The rows that a training program is given: all of the data, or of large data only those that a call trains on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onecycle.engine.program_steps import Data
from onecycle.keras_support import compilation
from onecycle.keras_support.data_adapters import select_rows
from onecycle.keras_support.train_function import training_arrays
from onecycle.keras_support.training_data import count_rows, first_rows, is_large


class RowReader:
    """Gives the calls of a program their rows, each call the same number of them.

    Large data, which may not fit into the memory, stays where it is. Each call reads its own rows, in the order of the
    data, in which a file is read fastest.

    Args:
        data: (x, y, sample_weight), arrays as `fit` takes them.
        class_weight: Weights of the classes, as in `fit`, or None.
        rows_per_call: Number of rows that a call trains on at most.

    Attributes:
        example: Data of the shapes and types that the program is given.
    """

    def __init__(self, data: Data, class_weight: Mapping[int, float] | None, rows_per_call: int) -> None:
        self._data, self._class_weight = data, class_weight
        self._reads = is_large(data) and count_rows(data) > rows_per_call
        # Of large data, the first rows show the shapes.
        given = self._prepared(first_rows(data, rows_per_call) if self._reads else data)
        self.example: Data = given if self._reads else compilation.to_device(given)

    def read(self, rows: NDArray[np.int32]) -> tuple[Data, NDArray[np.int32]]:
        """Return data on the device, and which of its rows are those that a call trains on.

        Args:
            rows: (steps, batch_size) rows of the whole data, for as many steps as a call has at most.
        """
        if not self._reads:
            return self.example, rows
        chosen, places = np.unique(rows, return_inverse=True)
        # Padded to a fixed number, which the program is compiled for.
        padded = np.concatenate([chosen, np.full(rows.size - len(chosen), chosen[-1], chosen.dtype)])
        data = compilation.to_device(self._prepared(select_rows(self._data, padded)))
        return data, places.reshape(rows.shape).astype("int32")

    def _prepared(self, data: Data) -> Data:
        """Return data as `fit` gives it to the model."""
        prepared: Data = training_arrays(*data, self._class_weight)
        return prepared
