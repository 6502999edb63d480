"""Which rows make which batch: the order in which `fit` on JAX reads arrays, so that there either gives the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """How an epoch is cut into batches.

    Attributes:
        rows: Rows of the data.
        batch_size: Rows of a batch; the last one of an epoch may be short.
    """

    rows: int
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.rows // self.batch_size)

    @property
    def full(self) -> int:
        """Steps of an epoch with a whole batch."""
        return self.rows // self.batch_size

    @property
    def remainder(self) -> int:
        """Rows of the short batch, 0 where there is none."""
        return self.rows % self.batch_size

    def sizes(self, steps: int) -> NDArray[np.int64]:
        """(steps,) rows of each batch, from an epoch's beginning on."""
        sizes = np.full(self.steps, self.batch_size)
        if self.remainder:
            sizes[-1] = self.remainder
        return np.resize(sizes, steps)

    def segments(self, first: int, steps: int) -> Segments:
        """Steps `first` to `first + steps - 1` of a training as runs of whole batches, each up to an epoch's end."""
        found = []
        at = first
        while at < first + steps:
            place = at % self.steps
            length = min(self.steps - place, first + steps - at)
            reaches_end = place + length == self.steps
            short = bool(self.remainder) and reaches_end
            found.append((at - first, at - first + length - short, short, place == 0))
            at += length
        starts, stops, shorts, fresh = zip(*found, strict=True)
        return Segments(*(np.array(column) for column in (starts, stops, shorts, fresh)))


@dataclass(frozen=True)
class Segments:
    """Stretches of a block of steps: whole batches, then perhaps a short one.

    Attributes:
        starts: (segments,) the first step's place in the block.
        stops: (segments,) the place after the last whole batch, which is that of the short one.
        short: (segments,) whether a short batch follows.
        fresh: (segments,) whether an epoch begins here.
    """

    starts: NDArray[Any]
    stops: NDArray[Any]
    short: NDArray[Any]
    fresh: NDArray[Any]

    def __len__(self) -> int:
        return len(self.starts)

    def padded(self, length: int) -> tuple[NDArray[Any], ...]:
        """The four columns, filled up to `length`."""
        fill = length - len(self)
        whole = (np.pad(column.astype("int32"), (0, fill)) for column in (self.starts, self.stops))
        truth = (np.pad(column.astype(bool), (0, fill)) for column in (self.short, self.fresh))
        return (*whole, *truth)


class Order:
    """The rows of one member's batches, epoch after epoch.

    Keras draws a permutation from NumPy's global generator as each epoch begins, so that a `fit` right after
    `keras.utils.set_random_seed(seed)`, of a model that is built, reads its arrays in this very order: on JAX. On
    TensorFlow `tf.data` shuffles.

    Args:
        seed: An integer; None draws from the global generator itself.
        shuffle: Whether rows are shuffled, as in `fit`.
        skipped: Permutations drawn before the first epoch's.
    """

    def __init__(self, plan: Plan, seed: int | None, shuffle: bool = True, skipped: int = 0) -> None:
        self._plan = plan
        self._shuffle = shuffle
        # The generator that Keras draws from is of this old kind.
        self._random: Any = np.random if seed is None else np.random.RandomState(seed)
        for _ in range(skipped if shuffle else 0):
            self._random.permutation(plan.rows)
        self._steps = self._all()

    def take(self, steps: int) -> NDArray[np.int32]:
        """(steps, batch_size) the rows of the next batches; a short one is filled with row 0."""
        return np.stack([next(self._steps) for _ in range(steps)])

    def _all(self) -> Iterator[NDArray[np.int32]]:
        plan = self._plan
        while True:
            rows = np.zeros(plan.steps * plan.batch_size, "int32")
            rows[: plan.rows] = self._random.permutation(plan.rows) if self._shuffle else np.arange(plan.rows)
            yield from rows.reshape(plan.steps, plan.batch_size)
