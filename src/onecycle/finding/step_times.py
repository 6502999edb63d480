"""How long a training step takes with several batch sizes, measured in calls of `fit`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support.data_adapters import select_rows
from onecycle.keras_support.snapshot import StateSnapshot
from onecycle.keras_support.types import Nested

# ours: steps of the two runs whose difference is timed, and the time that the difference has to take
FEW_STEPS, MANY_STEPS, MOST_STEPS = 2, 10, 640
MIN_SECONDS = 0.1
REPEATS = 3
MAX_ROWS = 2**16  # of a run
# In the messages of the backends.
OUT_OF_MEMORY = ("out of memory", "resource_exhausted", "resource exhausted", "cannot allocate")

Train = Callable[[NDArray[np.intp], int], None]  # (numbers of the rows, batch size)


def step_seconds(
    model: keras.Model, train: Train, rows: int, batch_sizes: Sequence[int]
) -> Iterator[tuple[int, float]]:
    """Yield each batch size with the seconds of a training step, until a size does not fit into memory.

    It has to be called where everything is restored afterwards.

    Args:
        model: The compiled model.
        train: Trains the model for one epoch on some rows with a batch size.
        rows: Number of rows of the data.
        batch_sizes: The batch sizes, increasing.
    """
    start = StateSnapshot(model)
    for number, size in enumerate(batch_sizes):
        try:
            seconds = _seconds(train, rows, size)
        except Exception as error:
            if number and (isinstance(error, MemoryError) or _is_out_of_memory(error)):
                return
            raise
        # Steps at one rate may diverge with another batch size.
        start.restore()
        yield size, seconds


def trainer(model: keras.Model, data: tuple[Nested, Nested, Nested], class_weight: Nested) -> Train:
    """Return a function that trains a model for one epoch on some rows.

    Args:
        model: The compiled model.
        data: (x, y, sample_weight) as arrays.
        class_weight: Weights of the classes, or None.
    """

    def train(rows: NDArray[np.intp], batch_size: int) -> None:
        x, y, sample_weight = (select_rows(part, rows) for part in data)
        model.fit(
            x, y, sample_weight=sample_weight, class_weight=class_weight, batch_size=batch_size, epochs=1, verbose=0
        )

    return train


def not_falling(seconds: Sequence[float]) -> NDArray[np.float64]:
    """Return times of steps with increasing batch sizes, each at most that of the next one.

    A larger batch is no faster. Where it seems so, something else has slowed the smaller one down.

    Args:
        seconds: (n,) the measured times.
    """
    return np.minimum.accumulate(np.asarray(seconds, dtype=np.float64)[::-1])[::-1]


def _seconds(train: Train, rows: int, size: int) -> float:
    def run(steps: int) -> float:
        numbers = np.arange(steps * size) % rows
        start = time.perf_counter()
        train(numbers, size)
        return time.perf_counter() - start

    run(FEW_STEPS)  # compiles
    most = max(MANY_STEPS, min(MOST_STEPS, MAX_ROWS // size))
    many, few, longest = MANY_STEPS, run(FEW_STEPS), run(MANY_STEPS)
    while longest - few < MIN_SECONDS and many < most:
        many = min(most, 4 * many)
        longest = run(many)
    # The least of several, since other programs only ever make a run longer. What a call of `fit` takes besides its
    # steps is left out by the difference.
    longest = min(longest, *(run(many) for _ in range(REPEATS)))
    few = min(few, *(run(FEW_STEPS) for _ in range(REPEATS)))
    return max(longest - few, 1e-6) / (many - FEW_STEPS)


def _is_out_of_memory(error: Exception) -> bool:
    text = f"{type(error).__name__} {error}".lower()
    return any(words in text for words in OUT_OF_MEMORY)
