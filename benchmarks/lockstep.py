"""Run several trainings in turns of one epoch, so that noise of the machine affects all of them alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import keras

from benchmarks.measure import Seconds, Stopwatch

Train = Callable[[keras.callbacks.Callback], Any]


def in_lockstep(trainings: Mapping[str, Train], epochs: int, steps: int) -> dict[str, list[Seconds]]:
    """Return the seconds per step of every epoch of every training.

    Each training has a thread, but only one runs at a time. The turn changes at the end of each epoch, in an order that
    shifts by one from epoch to epoch.

    Args:
        trainings: Functions that call `fit` once, for `epochs` epochs, with the callback they receive.
        epochs: Number of epochs of each training.
        steps: Number of steps per epoch.

    Raises:
        RuntimeError: If a training ended early.
    """
    turns = {name: _Turn() for name in trainings}
    threads = [
        threading.Thread(target=turns[name].run, args=(train,), daemon=True) for name, train in trainings.items()
    ]
    for thread in threads:
        thread.start()
    names = list(trainings)
    for epoch in range(epochs + 1):  # one more turn for the end of training
        shift = epoch % len(names)
        for name in names[shift:] + names[:shift]:
            turns[name].take()
    for thread in threads:
        thread.join()
    for name, turn in turns.items():
        if len(turn.laps) != epochs:
            raise RuntimeError(f"{name} ended after {len(turn.laps)} of {epochs} epochs")
    return {name: [Seconds(cpu / steps, wall / steps) for cpu, wall in turn.laps] for name, turn in turns.items()}


class _Turn(keras.callbacks.History):
    """Makes a training wait for its turn before each epoch.

    It is a `History`, which Keras adds to each `fit` anyway. With another callback, a guard would check the weights
    after each epoch, in case the callback saves them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._over = False
        self.laps: list[tuple[float, float]] = []

    def take(self) -> None:
        """Let the training run until its next pause."""
        if not self._over:
            self._go.release()
            self._done.acquire()

    def run(self, train: Train) -> None:
        self._go.acquire()
        try:
            train(self)  # an exception is printed by the thread
        finally:
            self._over = True
            self._done.release()

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._watch = Stopwatch()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.laps.append(self._watch.lap())
        self._done.release()
        self._go.acquire()
