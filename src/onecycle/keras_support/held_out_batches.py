"""A part of a data set held out of the training on the rest, where the order of its rows allows it."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import keras
import numpy as np

from onecycle.keras_support.data_adapters import as_numpy, number_of_batches
from onecycle.keras_support.types import Nested

MIN_BATCHES = 5


class Permutations(Protocol):
    """The source of a random order: a NumPy `RandomState`, or the module `numpy.random`."""

    def permutation(self, x: int, /) -> np.ndarray:
        """Return the numbers 0 to x - 1 in random order."""
        ...


def hold_out_batches(x: Nested, share: float, random: Permutations) -> tuple[Nested, Nested, str] | None:
    """Return the training part of a data set, the held-out part, and a sentence on the latter.

    Of `tf.data` the first batches are held out, of a `PyDataset` batches drawn at random, of a `DataLoader` rows drawn
    at random.

    Args:
        x: The data set.
        share: The share to hold out.
        random: Draws the batches or rows.

    Returns:
        None for data of unknown length or of few batches, and for data that puts its rows into other batches in each
        epoch, which would mix the two parts.
    """
    batches = number_of_batches(x)
    if batches is None or batches < MIN_BATCHES:
        return None
    held_out = max(1, round(share * batches))
    sentence = f"Judged on {held_out} of {batches} batches of the data set, {{}}; no candidate was trained on them."
    if isinstance(x, keras.utils.PyDataset):
        # What runs between epochs may shuffle the rows.
        if type(x).on_epoch_end is not keras.utils.PyDataset.on_epoch_end:
            return None
        order = random.permutation(batches)
        parts = _PartOfBatches(x, np.sort(order[held_out:])), _PartOfBatches(x, np.sort(order[:held_out]))
        return *parts, sentence.format("drawn at random")
    if type(x).__module__.startswith("tensorflow"):
        if not _repeats_first_batch(x):
            return None
        return x.skip(held_out), x.take(held_out), sentence.format("the first ones")
    return _split_loader(x, share, random)


class _PartOfBatches(keras.utils.PyDataset):
    """Some batches of a data set."""

    def __init__(self, dataset: keras.utils.PyDataset, numbers: np.ndarray) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset, self._numbers = dataset, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Nested:
        return self._dataset[int(self._numbers[index])]


def _repeats_first_batch(dataset: Any) -> bool:
    """Return whether a data set of `tf.data` begins with the same batch each time; one that shuffles does not."""
    first, second = (keras.tree.flatten(next(iter(dataset))) for _ in range(2))
    pairs = [(as_numpy(one), as_numpy(other)) for one, other in zip(first, second, strict=True)]
    return all(
        one is not None and other is not None and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        for one, other in pairs
    )


def _split_loader(loader: Any, share: float, random: Permutations) -> tuple[Nested, Nested, str] | None:
    """Return two loaders of the rows of PyTorch's `DataLoader`; None where its sampler is the user's own."""
    data = sys.modules.get("torch.utils.data")
    if data is None or type(loader) is not data.DataLoader or isinstance(loader.dataset, data.IterableDataset):
        return None
    shuffles = type(loader.sampler) is data.RandomSampler and not loader.sampler.replacement
    if type(loader.batch_sampler) is not data.BatchSampler or not (
        shuffles or type(loader.sampler) is data.SequentialSampler
    ):
        return None
    rows = len(loader.dataset)
    order, held_out = random.permutation(rows), max(1, round(share * rows))
    settings = {"batch_size": loader.batch_size, "num_workers": loader.num_workers, "collate_fn": loader.collate_fn}
    kept, out = (data.Subset(loader.dataset, np.sort(part).tolist()) for part in (order[held_out:], order[:held_out]))
    train = data.DataLoader(kept, shuffle=shuffles, drop_last=loader.drop_last, generator=loader.generator, **settings)
    sentence = f"Judged on {held_out} of {rows} training rows, drawn at random; no candidate was trained on them."
    return train, data.DataLoader(out, **settings), sentence
