"""The nets of the benchmarks, and their data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers

from onecycle.tasks import models

BATCH = 32
EPOCHS = 164


@dataclass(frozen=True)
class Subject:
    """A net with random data.

    Attributes:
        name: Name of the net.
        build: Returns a new model.
        shape: Shape of an input.
        classes: Number of classes, 0 for regression.
        steps: Backend -> number of steps per epoch: about a tenth of a second. On JAX at least 128, since Python may be
            32 steps ahead of the computation there, and a shorter epoch would hardly ever wait for it. On TensorFlow
            more, since it waits half a second for the threads of the data when an epoch ends.
        epochs: Backend -> number of epochs, `EPOCHS` where it is not given.
    """

    name: str
    build: Callable[[], keras.Model]
    shape: tuple[int, ...]
    classes: int
    steps: dict[str, int]
    epochs: dict[str, int] = field(default_factory=dict)


def dense(*widths: int) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        hidden = [layers.Dense(width, activation="relu") for width in widths[1:-1]]
        return keras.Sequential([keras.Input((widths[0],)), *hidden, layers.Dense(widths[-1])])

    return build


SUBJECTS = (
    Subject(
        "13-64-64-1", dense(13, 64, 64, 1), (13,), 0,
        {"jax": 600, "tensorflow": 600, "torch": 96}, {"tensorflow": 44},
    ),
    Subject(
        "784-300-100-10", dense(784, 300, 100, 10), (784,), 10,
        {"jax": 256, "tensorflow": 384, "torch": 64}, {"jax": 104, "tensorflow": 44},
    ),
    Subject(
        "fashion-mnist-cnn", models.fashion_net, (28, 28, 1), 10,
        {"jax": 128, "tensorflow": 96, "torch": 16}, {"jax": 44, "tensorflow": 44},
    ),
)  # fmt: skip


def data(subject: Subject) -> tuple[np.ndarray, np.ndarray, int]:
    """Return random inputs and targets, and the number of steps per epoch."""
    steps = subject.steps[keras.backend.backend()]
    generator = np.random.default_rng(0)
    x = generator.normal(size=(steps * BATCH, *subject.shape)).astype("float32")
    y = generator.integers(subject.classes, size=len(x)) if subject.classes else x[:, :1]
    return x, y, steps


def compiled(subject: Subject, steps_per_execution: int = 1) -> keras.Model:
    """Return the net compiled with SGD and momentum, the optimizer with the cheapest steps."""
    keras.utils.set_random_seed(0)
    model = subject.build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if subject.classes else "mse"
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss=loss, steps_per_execution=steps_per_execution)
    return model
