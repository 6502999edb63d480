"""The rows of each batch in a compiled program. On JAX the order equals the one in which `fit` reads arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support.training_data import count_batches

# The columns of `Segments`, padded for a compiled program: starts, stops, has_short_batch, starts_epoch.
SegmentColumns: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True)
class BatchPlan:
    """The division of an epoch into batches.

    Attributes:
        rows: Number of rows of the data.
        batch_size: Rows per batch, at most all rows. The last batch of an epoch may be shorter.
    """

    rows: int
    batch_size: int

    def __post_init__(self) -> None:
        # Programs take memory for full batches. The dataclass is frozen, so the attribute is not assigned directly.
        object.__setattr__(self, "batch_size", min(self.batch_size, self.rows))

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch, a short one included."""
        return count_batches(self.rows, self.batch_size)

    @property
    def full_batches(self) -> int:
        """Number of full batches in an epoch."""
        return self.rows // self.batch_size

    @property
    def remainder(self) -> int:
        """Rows of the short batch, or 0 if the last batch is full."""
        return self.rows % self.batch_size

    def batch_sizes(self, steps: int) -> NDArray[np.int64]:
        """Return (steps,) the rows of each batch, counted from the start of an epoch."""
        sizes = np.full(self.steps_per_epoch, self.batch_size)
        if self.remainder:
            sizes[-1] = self.remainder
        return np.resize(sizes, steps)

    def segments(self, first_step: int, steps: int) -> Segments:
        """Divide a block of consecutive steps at the ends of epochs.

        Args:
            first_step: First step of the block, counted from the start of training.
            steps: Number of steps in the block, at least 1.

        Returns:
            The segments. The first and the last one may cover only a part of their epoch.
        """
        rows = []
        step, end = first_step, first_step + steps
        while step < end:
            step_of_epoch = step % self.steps_per_epoch
            length = min(self.steps_per_epoch - step_of_epoch, end - step)
            # Only the last batch of an epoch may be short.
            short = bool(self.remainder) and step_of_epoch + length == self.steps_per_epoch
            start = step - first_step
            rows.append((start, start + length - short, short, step_of_epoch == 0))
            step += length
        return Segments(*(np.array(column) for column in zip(*rows, strict=True)))


@dataclass(frozen=True)
class Segments:
    """Parts of a block of steps that do not cross the end of an epoch: full batches, then perhaps a short one.

    Attributes:
        starts: (segments,) the first step, counted from the start of the block.
        stops: (segments,) the step after the last full batch. If there is a short batch, this is its step.
        has_short_batch: (segments,) whether a short batch follows the full ones.
        starts_epoch: (segments,) whether the segment begins at the start of an epoch.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    has_short_batch: NDArray[np.bool_]
    starts_epoch: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.starts)

    def padded(self, length: int) -> SegmentColumns:
        """Return the four columns, padded to `length` with 0 and False."""
        padding = (0, length - len(self))
        return (
            np.pad(self.starts.astype("int32"), padding),
            np.pad(self.stops.astype("int32"), padding),
            np.pad(self.has_short_batch.astype(bool), padding),
            np.pad(self.starts_epoch.astype(bool), padding),
        )


class RowOrder:
    """The rows of one member's batches, epoch after epoch.

    At the start of each epoch, Keras draws a permutation from NumPy's global generator. On JAX, `fit` of a built model
    right after `keras.utils.set_random_seed(seed)` therefore reads arrays in exactly this order. On TensorFlow,
    `tf.data` shuffles in another order.

    Args:
        plan: The division of an epoch into batches.
        seed: Seed of the permutations, or None to draw from NumPy's global generator.
        shuffle: Whether to shuffle the rows, as in `fit`.
        skipped: Number of permutations to discard before the first epoch.
    """

    def __init__(self, plan: BatchPlan, seed: int | None, shuffle: bool = True, skipped: int = 0) -> None:
        self._plan = plan
        self._shuffle = shuffle
        # Keras draws from NumPy's legacy generator, so the numbers must come from the same kind of generator.
        self._permutation: Callable[[int], NDArray[np.int64]] = (
            np.random.permutation if seed is None else np.random.RandomState(seed).permutation
        )
        for _ in range(skipped if shuffle else 0):
            self._permutation(plan.rows)
        self._batches = self._all_batches()

    def take(self, steps: int) -> NDArray[np.int32]:
        """Return (steps, batch_size) the rows of the next batches. A short batch is padded with row 0."""
        rows = [next(self._batches) for _ in range(steps)]
        return np.stack(rows) if rows else np.empty((0, self._plan.batch_size), "int32")

    def _all_batches(self) -> Iterator[NDArray[np.int32]]:
        plan = self._plan
        while True:
            rows = np.zeros(plan.steps_per_epoch * plan.batch_size, "int32")
            rows[: plan.rows] = self._permutation(plan.rows) if self._shuffle else np.arange(plan.rows)
            yield from rows.reshape(plan.steps_per_epoch, plan.batch_size)


class FixedRows:
    """Rows that are known, for several members that read the same batches.

    Args:
        rows: (steps, batch_size) the rows of the next batches.
    """

    def __init__(self, rows: NDArray[np.int32]) -> None:
        self._rows = rows

    def take(self, steps: int) -> NDArray[np.int32]:
        """Return (steps, batch_size) the rows, which must be as many; see `RowOrder.take`."""
        assert steps == len(self._rows)
        return self._rows
