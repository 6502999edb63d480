"""One pass over the values of an array: which rows have NaN or infinite values, and whether all values are zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support.array_rows import is_table, numeric_rows
from onecycle.keras_support.training_data import DEFAULT_BATCH_SIZE

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

CHUNK_BYTES = 2**22
# Of an array in memory about a tenth of a second is read. A file, or an array on an accelerator, is read more slowly.
MAX_BYTES_IN_MEMORY, MAX_BYTES_ELSEWHERE = 2**29, 2**26


@dataclass
class ValueScan:
    """What was found in an array.

    Attributes:
        rows: Number of rows.
        checked: Number of rows read: all of them, or parts from all over a large array.
        counts: "NaN" or "infinite values" -> number of rows that have one.
        first: The same -> the first such row.
        good_rows: A few rows near the first bad one without such values, which make up a batch with it.
        all_zero: Whether all values that were read are zero.
    """

    rows: int
    checked: int
    counts: dict[str, int]
    first: dict[str, int]
    good_rows: list[int]
    all_zero: bool

    @property
    def complete(self) -> bool:
        """Whether all rows were read."""
        return self.checked == self.rows

    @property
    def description(self) -> str:
        """The bad values in words."""
        of = f"of {self.rows} rows" if self.complete else f"of the {self.checked} rows that were checked"
        return " and ".join(
            f"{kind} in {count} {of}, first in row {self.first[kind]}" for kind, count in self.counts.items()
        )


def scan_values(leaf: Nested) -> ValueScan | None:
    """Return what is found in an array, a tensor or a table; None where it has no numbers.

    Args:
        leaf: The array. Of a large one, evenly spaced parts are read.
    """
    scan: ValueScan | None = None
    for rows, values in chunks(leaf):
        scan = scan or ValueScan(int(leaf.shape[0]), 0, {}, {}, [], all_zero=True)
        _add_chunk(scan, rows.start, values.reshape(len(values), -1))
    return scan


def chunks(leaf: Nested) -> Iterator[tuple[slice, NDArray[np.generic]]]:
    """Yield some rows of an array at a time: which rows, and their values; nothing where it has no numbers.

    Args:
        leaf: The array. Of a large one, evenly spaced parts are read.
    """
    first_row = numeric_rows(leaf, slice(1))
    if first_row is None or first_row.ndim == 0 or not len(first_row):
        return
    rows, per_chunk = int(leaf.shape[0]), max(1, CHUNK_BYTES // max(1, first_row.nbytes))
    starts = np.arange(0, rows, per_chunk)
    most = (MAX_BYTES_IN_MEMORY if _in_memory(leaf) else MAX_BYTES_ELSEWHERE) // CHUNK_BYTES
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(int)]
    for start in starts.tolist():
        part = slice(start, min(start + per_chunk, rows))
        values = numeric_rows(leaf, part)
        if values is not None:
            yield part, values


def _add_chunk(scan: ValueScan, start: int, values: NDArray[np.generic]) -> None:
    scan.checked += len(values)
    scan.all_zero = scan.all_zero and not values.any()
    if values.dtype.kind != "f":
        return
    good = np.isfinite(values)
    if good.all():
        return
    not_a_number = np.isnan(values).any(axis=1)
    for kind, bad in (("NaN", not_a_number), ("infinite values", np.isinf(values).any(axis=1))):
        if bad.any():
            scan.counts[kind] = scan.counts.get(kind, 0) + int(bad.sum())
            scan.first.setdefault(kind, start + int(bad.argmax()))
    if not scan.good_rows:
        scan.good_rows = (start + np.flatnonzero(good.all(axis=1))[: DEFAULT_BATCH_SIZE - 1]).tolist()


def _in_memory(leaf: Nested) -> bool:
    """Return whether an array is in the memory of this process, not in a file or on an accelerator."""
    while isinstance(leaf, np.ndarray):
        if isinstance(leaf, np.memmap):
            return False
        if leaf.base is None:
            return True
        leaf = leaf.base
    return is_table(leaf)
