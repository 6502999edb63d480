"""The last few batches of a training, kept to see afterwards whether one of them had bad values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np

from onecycle.keras_support import backends
from onecycle.keras_support.running_fit import fit_data
from onecycle.keras_support.value_scan import scan_values

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

KEPT_CALLS = 6  # of the training function; a loss is read within five
MAX_KEPT = 40  # batches, where one call takes many
EXTREME = 1e3  # ours: times the largest value of the other batches; no batch is that far from the others by chance
EXTREME_ROW = 1e6  # ours: the same for a row, of which there are more
_PARTS = ("inputs", "targets", "sample weights")


class RecentBatches:
    """References to the last batches that the training function of a `fit` was called with.

    The graph of TensorFlow reads its batches itself, so that none can be kept. There, the arrays that `fit` was called
    with are searched instead.

    Args:
        model: The model whose `fit` runs.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._batches: deque[Nested] = deque(maxlen=min(MAX_KEPT, KEPT_CALLS * model.steps_per_execution))
        self._kept = _KeptIterator(self._batches)
        self._bad_rows: str | None = None
        self._extreme_rows: str | None = None
        self._searched = False

    def watcher(self) -> Callable[[tuple[Nested, ...]], tuple[Nested, ...]]:
        """Return what makes of the arguments of the training function those with which its batches are kept."""
        kept, keep = self._kept, self._batches.append

        def watched_iterator(arguments: tuple[Nested, ...]) -> tuple[Nested, ...]:
            kept.iterator = arguments[1]
            return arguments[0], kept

        def watched_batch(arguments: tuple[Nested, ...]) -> tuple[Nested, ...]:
            keep(arguments[0][0])
            return arguments

        watchers = {"jax": watched_iterator, "torch": watched_batch}
        return watchers.get(backends.name(), lambda arguments: arguments)

    def clear(self) -> None:
        """Forget the batches."""
        self._batches.clear()

    @property
    def are_kept(self) -> bool:
        """Whether `fault` examines the last batches themselves."""
        return bool(self._batches)

    @property
    def are_known(self) -> bool:
        """Whether `fault` has something to examine."""
        return self.are_kept or self._fit_arrays() is not None

    def fault(self, *, finite_loss: bool = False) -> str | None:
        """Return what is wrong with one of the batches, in words, or None.

        Args:
            finite_loss: Whether the loss is finite, so that no NaN can have been in its batch.
        """
        if not self._batches:
            return self._fault_of_arrays(finite_loss)
        rows = [keras.tree.flatten(_parts(batch)) for batch in self._batches]
        for row in reversed(rows):
            for place, leaf in enumerate(row):
                if not np.isfinite(_largest(leaf)):
                    return f"a batch has NaN or infinite values in its {_name(self._batches[-1], place)}"
        if len(rows) < 3 or len({len(row) for row in rows}) > 1:
            return None
        for place, column in enumerate(zip(*rows, strict=True)):
            sizes = [_largest(leaf) for leaf in column]
            if max(sizes) > EXTREME * np.median(sizes) > 0:
                name = _name(self._batches[-1], place)
                return f"a batch has values up to {max(sizes):.1e} in its {name}, others up to {np.median(sizes):.1e}"
        return None

    def _fit_arrays(self) -> Nested:
        found = fit_data(self._model)
        leaves = [leaf for leaf in keras.tree.flatten(found) if leaf is not None]
        return found if leaves and all(isinstance(leaf, np.ndarray) for leaf in leaves) else None

    def _fault_of_arrays(self, finite_loss: bool) -> str | None:
        """Search the arrays once: they do not change."""
        if not self._searched:
            self._searched = True
            for name, part in zip(_PARTS, self._fit_arrays() or (), strict=False):
                for leaf in keras.tree.flatten(part):
                    if leaf is not None:
                        self._search(leaf, name)
        return self._extreme_rows if finite_loss else self._bad_rows or self._extreme_rows

    def _search(self, leaf: np.ndarray, name: str) -> None:
        scan = scan_values(leaf)
        if scan is not None and scan.counts and self._bad_rows is None:
            self._bad_rows = f"rows of the data have NaN or infinite values in their {name}"
        if leaf.dtype.kind != "f" or self._extreme_rows is not None:
            return
        with np.errstate(all="ignore"):
            sizes = np.abs(leaf.reshape(len(leaf), -1)).max(axis=1, initial=0)
        sizes = sizes[np.isfinite(sizes)]
        if len(sizes) and sizes.max() > EXTREME_ROW * np.median(sizes) > 0:
            self._extreme_rows = (
                f"rows of the data have values up to {sizes.max():.1e} in their {name}, others up to "
                f"{np.median(sizes):.1e}"
            )


class _KeptIterator:
    """An iterator over batches that keeps the last ones."""

    def __init__(self, batches: deque[Nested]) -> None:
        self.iterator: Iterator[Nested] = iter(())
        self._keep = batches.append

    def __iter__(self) -> _KeptIterator:
        return self

    def __next__(self) -> Nested:
        batch = next(self.iterator)
        self._keep(batch)
        return batch


def _parts(batch: Nested) -> tuple[Nested, ...]:
    return keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list) else batch)


def _name(batch: Nested, place: int) -> str:
    """Return what an array of a batch is, by its place among all arrays of the batch."""
    for name, part in zip(_PARTS, _parts(batch), strict=True):
        length = len(keras.tree.flatten(part))
        if place < length:
            return name
        place -= length
    return _PARTS[-1]


def _largest(leaf: Nested) -> float:
    """Return the largest size of an array's values, NaN or infinite if one is, or 0 if it has no floats."""
    if leaf is None or not backends.holds_all_values(leaf):
        return 0.0
    values = keras.ops.convert_to_numpy(leaf)
    if values.dtype.kind not in "fV" or not values.size:  # V: bfloat16
        return 0.0
    return float(np.max(np.abs(values.astype("float32"))))
