"""The nets and their data, and one timed `fit` of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from benchmarks.measure import Seconds, Stopwatch
from onecycle.tasks import models

BATCH = 32
EPOCHS = 6  # the first compiles and the last restores: neither counts


@dataclass(frozen=True)
class Subject:
    """A net, and how many steps make an epoch that takes about half a second."""

    name: str
    build: Callable[[], keras.Model]
    shape: tuple[int, ...]
    classes: int
    steps: dict[str, int]


def dense(*widths: int) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        hidden = [layers.Dense(width, activation="relu") for width in widths[1:-1]]
        return keras.Sequential([keras.Input((widths[0],)), *hidden, layers.Dense(widths[-1])])

    return build


SUBJECTS = (
    Subject("13-64-64-1", dense(13, 64, 64, 1), (13,), 0, {"jax": 1500, "tensorflow": 400, "torch": 250}),
    Subject("784-300-100-10", dense(784, 300, 100, 10), (784,), 10, {"jax": 700, "tensorflow": 300, "torch": 200}),
    Subject("fashion-mnist-cnn", models.fashion_net, (28, 28, 1), 10, {"jax": 40, "tensorflow": 60, "torch": 40}),
)


def data(subject: Subject) -> tuple[np.ndarray, np.ndarray, int]:
    """Noise of the right shape, and the steps of an epoch."""
    steps = subject.steps[keras.backend.backend()]
    generator = np.random.default_rng(0)
    x = generator.normal(size=(steps * BATCH, *subject.shape)).astype("float32")
    y = generator.integers(subject.classes, size=len(x)) if subject.classes else x[:, :1]
    return x, y, steps


def compiled(subject: Subject, steps_per_execution: int = 1) -> keras.Model:
    """The net with SGD and momentum, the optimizer whose steps are cheapest."""
    keras.utils.set_random_seed(0)
    model = subject.build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if subject.classes else "mse"
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss=loss, steps_per_execution=steps_per_execution)
    return model


class _Laps(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.laps: list[tuple[float, float]] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._watch = Stopwatch()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.laps.append(self._watch.lap())


def timed_fit(model: keras.Model, x: np.ndarray, y: np.ndarray, steps: int, *callbacks: object) -> Seconds:
    """Seconds per step of the middle epochs of a fit: their median."""
    laps = _Laps()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[*callbacks, laps])
    cpu, wall = np.median(np.array(laps.laps[1:-1]), axis=0) / steps
    return Seconds(float(cpu), float(wall))
