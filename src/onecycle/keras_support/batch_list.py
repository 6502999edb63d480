"""Batches read from a data set and kept in memory, as a new data set of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support.training_data import count_rows

if TYPE_CHECKING:
    import tensorflow as tf

    from onecycle.keras_support.types import Nested


class BatchList:
    """Batches of a data set, whatever they contain.

    Args:
        batches: The batches, as the data set gives them.
        source: The data set.
    """

    def __init__(self, batches: Sequence[Nested], source: Nested) -> None:
        self._batches, self._source = tuple(batches), source

    def __len__(self) -> int:
        return len(self._batches)

    def select(self, numbers: slice | Sequence[int]) -> BatchList:
        """Return some of the batches."""
        chosen = self._batches[numbers] if isinstance(numbers, slice) else [self._batches[k] for k in numbers]
        return BatchList(chosen, self._source)

    def rows(self) -> int:
        """Return the number of rows of all batches."""
        return sum(map(count_rows, self._batches))

    def batch_size(self) -> int:
        """Return the number of rows of the first batch."""
        return count_rows(self._batches[0])

    def dataset(self) -> Nested:
        """Return the batches as `fit` takes them, shuffled in each epoch: a `tf.data.Dataset` if the source was one."""
        if hasattr(self._source, "element_spec"):
            return _tf_dataset(self._batches, self._source)
        return _Batches(self._batches)


class _Batches(keras.utils.PyDataset):
    """Batches in memory, whose order `fit` shuffles."""

    def __init__(self, batches: Sequence[Nested]) -> None:
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Nested:
        batch = self._batches[index]
        # Unlike other data sets, a `PyDataset` may not give a tensor.
        return batch if isinstance(batch, tuple | list | dict) else (batch,)


def _tf_dataset(batches: Sequence[Nested], source: tf.data.Dataset) -> tf.data.Dataset:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=source.element_spec)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    return dataset.shuffle(len(batches))
