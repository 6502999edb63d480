"""Batches from all over a data set, since its first ones may hold a few classes only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import keras
import numpy as np

from onecycle.finding.data_hints import noticed_order
from onecycle.keras_support import backends
from onecycle.keras_support.array_rows import numeric_rows
from onecycle.keras_support.batch_facts import BatchFacts, batch_facts
from onecycle.keras_support.data_adapters import known_length

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

MAX_BYTES_LOOKED_AT = 2**28  # of the first batches, to see whether the data is in order
MAX_BYTES_KEPT = 2**31


def spread_batches(dataset: Nested, steps: int) -> Iterator[Nested]:
    """Yield `steps` batches of a data set, from all over it as far as its kind and length allow.

    A `PyDataset`, and a PyTorch `DataLoader` that reads its data set in order, are read at evenly spaced places. Any
    other data set can be read only from its beginning. Its first batches are taken if their targets look shuffled.
    Otherwise the data set is read once to its end, if it has one, and evenly spaced batches are kept.

    Args:
        dataset: A data set that can be read again.
        steps: Number of batches; fewer if the data set is shorter, or if they would not fit into memory.
    """
    length = known_length(dataset)
    read = _random_access(dataset)
    if read is not None and length is not None:
        yield from (read(index) for index in _any_prefix_spread(_evenly(length, min(steps, length))))
        return
    batches = iter(dataset)
    first = list(_up_to_bytes(islice(batches, steps), MAX_BYTES_LOOKED_AT))
    if length is None or len(first) >= length or noticed_order(facts_of(first)) is None:
        yield from first
        yield from islice(batches, steps - len(first))
        return
    fitting = MAX_BYTES_KEPT * len(first) // max(1, sum(map(_bytes_of, first)))
    del first
    kept = set(_evenly(length, min(steps, length, fitting)))
    yield from [batch for index, batch in enumerate(islice(dataset, length)) if index in kept]


def last_batch(dataset: Nested) -> list[Nested]:
    """Return a list of the last batch of a data set; an empty one if it cannot be read by its number."""
    length, read = known_length(dataset), _random_access(dataset)
    return [read(length - 1)] if read is not None and length else []


def facts_of(batches: Sequence[Nested]) -> BatchFacts:
    """Return what is known about batches (x, y, sample_weight)."""
    rows = []
    for batch in batches:
        parts = keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list) else batch)
        arrays = [[numeric_rows(leaf, slice(None)) for leaf in keras.tree.flatten(part)] for part in parts]
        facts = batch_facts(dict(zip(("x", "y", "sample_weight"), arrays, strict=True)))
        rows.append(facts if isinstance(facts, list) else keras.ops.convert_to_numpy(facts).tolist())
    return BatchFacts.from_table(np.array(rows, dtype=np.float64).reshape(len(rows), -1))


def _random_access(dataset: Nested) -> Callable[[int], Nested] | None:
    """Return a function that reads the batch at an index, or None if the data set has to be read in its order."""
    if isinstance(dataset, keras.utils.PyDataset):
        return lambda index: dataset[index]
    return backends.data_loader_access(dataset)


def _evenly(length: int, count: int) -> list[int]:
    """Return `count` different numbers below `length`, evenly spaced, each in the middle of its part."""
    return ((np.arange(count) + 0.5) * length / count).astype(int).tolist()


def _any_prefix_spread(indices: list[int]) -> list[int]:
    """Return the numbers in an order in which the first ones are from all over too, as the reader may stop early."""
    return [indices[k] for k in np.random.RandomState(0).permutation(len(indices))]


def _up_to_bytes(batches: Iterator[Nested], limit: int) -> Iterator[Nested]:
    total = 0
    for batch in batches:
        yield batch
        total += _bytes_of(batch)
        if total > limit:
            return


def _bytes_of(batch: Nested) -> int:
    return sum(int(getattr(leaf, "nbytes", 0)) for leaf in keras.tree.flatten(batch))
