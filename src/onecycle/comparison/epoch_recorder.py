"""Steps, samples and seconds of a run, recorded at the end of each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import keras

from onecycle.keras_support.optimizers import raw_step


class EpochRecorder(keras.callbacks.Callback):
    """Records steps, samples and seconds at the end of each epoch, and stops training after a loss that is not finite.

    It has no hooks for batches, since JAX would have to wait for each batch. A run that diverges therefore goes on
    until the end of the epoch.

    Args:
        rows: Rows of the training data, or None if they cannot be counted.
    """

    def __init__(self, rows: int | None) -> None:
        super().__init__()
        self._rows = rows
        self._created = time.perf_counter()
        self.seconds_before_training = 0.0
        self.steps: list[int] = []
        self.samples: list[int] = []
        self.seconds: list[float] = []
        self.diverged: int | None = None
        self._logs: list[Mapping[str, object]] = []

    def in_every_epoch(self, history: Mapping[str, Sequence[object]]) -> dict[str, Sequence[object]]:
        """Return a history with a value for each epoch: NaN where a callback has recorded none."""
        return {
            name: values if len(values) == len(self.steps) else [logs.get(name, math.nan) for logs in self._logs]
            for name, values in history.items()
        }

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Record the time before training."""
        self.seconds_before_training = time.perf_counter() - self._created

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Record the optimizer's step before the first epoch, which is not 0 if the optimizer has been used before."""
        if not self.steps:
            self._first_step = raw_step(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Record the epoch."""
        epochs, steps_per_epoch = len(self.steps) + 1, self.params.get("steps")
        # Data sets of unknown length have no number of steps, so the optimizer's counter is read.
        optimizer_steps = raw_step(self.model.optimizer) - self._first_step
        self.steps.append(optimizer_steps if steps_per_epoch is None else epochs * steps_per_epoch)
        if self._rows is not None:
            self.samples.append(epochs * self._rows)
        self.seconds.append(time.perf_counter() - self._created)
        self._logs.append(logs or {})  # to which callbacks after this one may add
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.diverged = epochs
            self.model.stop_training = True
