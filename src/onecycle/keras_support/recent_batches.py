"""The last few batches of a training, kept to see afterwards whether one of them had bad values."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
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
        self._in_arrays: str | None = None
        self._searched = False

    def watched(self, arguments: tuple[Nested, ...]) -> tuple[Nested, ...]:
        """Return the arguments of a call of the training function so that its batches are kept."""
        if backends.name() == "jax":
            self._kept.iterator = arguments[1]
            return arguments[0], self._kept
        if backends.name() == "torch":
            self._batches.append(arguments[0][0])
        return arguments

    def clear(self) -> None:
        """Forget the batches."""
        self._batches.clear()

    @property
    def are_known(self) -> bool:
        """Whether `fault` has batches to examine."""
        return bool(self._batches) or self._fit_arrays() is not None

    def fault(self) -> str | None:
        """Return what is wrong with one of the batches, in words, or None."""
        if not self._batches:
            return self._fault_of_arrays()
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

    def _fault_of_arrays(self) -> str | None:
        """Search the arrays once: they do not change."""
        if not self._searched:
            self._searched = True
            arrays = self._fit_arrays()
            for name, part in zip(_PARTS, arrays or (), strict=False):
                scans = [scan_values(leaf) for leaf in keras.tree.flatten(part) if leaf is not None]
                if any(scan is not None and scan.counts for scan in scans):
                    self._in_arrays = f"rows of the data have NaN or infinite values in their {name}"
                    break
        return self._in_arrays


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
