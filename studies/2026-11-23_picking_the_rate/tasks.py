"""The small tasks of this study; `split.py` has the split into tuning and judged tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import layers

from onecycle.tasks import load_task

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """A data set with its model.

    Attributes:
        data: Returns ((x, y), (x_held_out, y_held_out)); no run trains on the held-out part.
        net: Returns the model, not compiled.
        classes: Number of classes, 0 for regression.
        epochs: Number of epochs of a full run.
        batch_size: Batch size.
    """

    data: Callable[[], tuple[Arrays, Arrays]]
    net: Callable[[], keras.Model]
    classes: int
    epochs: int
    batch_size: int = 32

    def build(self, optimizer: str, seed: int) -> keras.Model:
        """Return a new compiled model."""
        keras.utils.set_random_seed(seed)
        model = self.net()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if self.classes else "mse"
        model.compile(OPTIMIZERS[optimizer](), loss, metrics=["accuracy" if self.classes else "mae"])
        return model


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.001),
}
DEFAULT_RATES = {"sgd": 0.01, "adam": 0.001}  # the defaults of Keras
# 25 learning rates over nearly five decades, each 1.58 times the previous one.
GRIDS = {"sgd": tuple(10 ** np.linspace(-3.8, 1.0, 25)), "adam": tuple(10 ** np.linspace(-5.0, -0.2, 25))}


# Generated data, each with its own seed.


def friedman(rows: int = 400, noise: float = 1.0) -> tuple[Arrays, Arrays]:
    """Return data of Friedman's first function, which depends on five of ten inputs."""
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(rows + 1000, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = (y + noise * rng.normal(size=len(y)))[:, None]
    return split((x - 0.5) * 12**0.5, (y - y.mean()) / y.std(), rows)


def blobs(rows: int = 1000) -> tuple[Arrays, Arrays]:
    """Return ten classes of three overlapping clouds each, in 20 dimensions."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(30, 20))
    cloud = rng.integers(30, size=rows + 1000)
    return split(centres[cloud] + 0.9 * rng.normal(size=(len(cloud), 20)), cloud % 10, rows)


def waves(rows: int = 1000) -> tuple[Arrays, Arrays]:
    """Return ten classes of wave forms with 40 points, shifted, scaled and noisy."""
    rng = np.random.default_rng(3)
    forms = rng.normal(size=(10, 12))
    kind = rng.integers(10, size=rows + 1000)
    at = np.linspace(0, 11, 28)
    x = 0.3 * rng.normal(size=(len(kind), 40))
    for row, k in zip(x, kind, strict=True):
        start = rng.integers(12)
        row[start : start + 28] += rng.uniform(0.6, 1.4) * np.interp(at, np.arange(12), forms[k])
    return split(x[..., None], kind, rows)


def adding(rows: int = 1500, length: int = 16) -> tuple[Arrays, Arrays]:
    """Return sequences of 16 numbers, two of them marked; the target is the sum of these two."""
    rng = np.random.default_rng(4)
    x = np.zeros((rows + 1000, length, 2))
    x[..., 0] = rng.uniform(-1, 1, size=x.shape[:2])
    marked = np.argsort(rng.uniform(size=x.shape[:2]), axis=1)[:, :2]
    np.put_along_axis(x[..., 1], marked, 1.0, axis=1)
    # Noise keeps the loss above 0, where a relative regret would be meaningless.
    y = (x[..., 0] * x[..., 1]).sum(axis=1, keepdims=True) + 0.1 * rng.normal(size=(len(x), 1))
    return split(x, y, rows)


def recall(rows: int = 2000, pairs: int = 5, symbols: int = 8) -> tuple[Arrays, Arrays]:
    """Return sequences of five pairs of key and value, then a key; the target is the value of that key."""
    rng = np.random.default_rng(5)
    keys = np.argsort(rng.uniform(size=(rows + 1000, symbols)), axis=1)[:, :pairs]
    values = rng.integers(symbols, size=keys.shape)
    query = rng.integers(pairs, size=(len(keys), 1))
    both = np.stack([keys, values + symbols], axis=2).reshape(len(keys), -1)
    tokens = np.concatenate([both, np.take_along_axis(keys, query, axis=1)], axis=1)
    return split(tokens.astype("int32"), np.take_along_axis(values, query, axis=1)[:, 0], rows)


def spirals(rows: int = 1000) -> tuple[Arrays, Arrays]:
    """Return three classes, the arms of a spiral."""
    rng = np.random.default_rng(6)
    kind = rng.integers(3, size=rows + 1000)
    radius = rng.uniform(0.2, 3, size=len(kind))
    angle = 2.2 * radius + 2 * np.pi * kind / 3 + 0.2 * rng.normal(size=len(kind))
    return split(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), kind, rows)


def products(rows: int = 800) -> tuple[Arrays, Arrays]:
    """Return a sum of products of pairs of 12 normal inputs, with noise."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(rows + 1000, 12))
    y = (x[:, ::2] * x[:, 1::2]) @ rng.normal(size=6) + 0.3 * rng.normal(size=len(x))
    return split(x, (y / y.std())[:, None], rows)


def split(x: np.ndarray, y: np.ndarray, rows: int) -> tuple[Arrays, Arrays]:
    x = x if x.dtype == np.int32 else x.astype("float32")
    y = y.astype("int64") if y.ndim == 1 else y.astype("float32")
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


# Real data.


def real(name: str, rows: int | None = None, pooled: int = 1, shape: tuple[int, ...] | None = None) -> Any:
    """Return a function that loads the first rows of a task of onecycle, with at most 2000 held-out rows.

    Args:
        name: Name of the task.
        rows: Number of training rows, by default all.
        pooled: Images are averaged over squares of this side.
        shape: New shape of an input, by default unchanged.
    """

    def made() -> tuple[Arrays, Arrays]:
        parts = []
        for (x, y), limit in zip(load_task(name).data, (rows, 2000), strict=True):
            x, y = x[:limit], y[:limit]
            if pooled > 1:
                side = x.shape[1] // pooled
                x = x.reshape(len(x), side, pooled, side, pooled, -1).mean(axis=(2, 4))
            x = x.reshape(len(x), *shape) if shape else x
            parts.append((x.astype("float32"), y.astype("float32")[:, None] if name == "boston-housing" else y))
        return parts[0], parts[1]

    return made


# Models.


def dense(inputs: int, *hidden: int, outputs: int, activation: str = "relu", extra: Any = None) -> Any:
    def made() -> keras.Model:
        stack = [keras.Input((inputs,))]
        for units in hidden:
            stack += [layers.Dense(units), *(extra() if extra else []), layers.Activation(activation)]
        return keras.Sequential([*stack, layers.Dense(outputs)])

    return made


def convolutional(shape: tuple[int, ...], filters: tuple[int, ...], outputs: int, normalise: bool) -> Any:
    """Return a function that makes a model of convolutions with stride 2, in one or two dimensions.

    Args:
        shape: Shape of an input.
        filters: Number of filters of each convolution.
        outputs: Number of outputs.
        normalise: Whether a batch normalization follows each convolution.
    """

    def made() -> keras.Model:
        kind, size = (layers.Conv1D, 5) if len(shape) == 2 else (layers.Conv2D, 3)
        stack = [keras.Input(shape)]
        for depth in filters:
            stack.append(kind(depth, size, strides=2, padding="same", use_bias=not normalise))
            stack += [layers.BatchNormalization()] if normalise else []
            stack.append(layers.Activation("relu"))
        return keras.Sequential([*stack, layers.Flatten(), layers.Dense(outputs)])

    return made


def recurrent(length: int, inputs: int, units: int, outputs: int, kind: Any = layers.GRU) -> Any:
    return lambda: keras.Sequential([keras.Input((length, inputs)), kind(units), layers.Dense(outputs)])


def attention(length: int, inputs: int, width: int, outputs: int, blocks: int = 1) -> Any:
    """Return a function that makes a model of residual blocks of attention and dense layers.

    Args:
        length: Length of a sequence; a sequence of length 11 consists of tokens.
        inputs: Number of columns, or of different tokens.
        width: Width of the model.
        outputs: Number of outputs.
        blocks: Number of blocks.
    """

    def made() -> keras.Model:
        tokens = length == 11
        start = keras.Input((length,), dtype="int32") if tokens else keras.Input((length, inputs))
        x = layers.Embedding(inputs, width)(start) if tokens else layers.Dense(width)(start)
        x = x + layers.Embedding(length, width)(np.arange(length)[None])
        for _ in range(blocks):
            normal = layers.LayerNormalization()(x)
            x = x + layers.MultiHeadAttention(2, width // 2)(normal, normal)
            x = x + layers.Dense(width)(layers.Dense(2 * width, "relu")(layers.LayerNormalization()(x)))
        last = x[:, -1] if tokens else layers.GlobalAveragePooling1D()(x)
        return keras.Model(start, layers.Dense(outputs)(layers.LayerNormalization()(last)))

    return made


def normalised() -> list[Any]:
    return [layers.BatchNormalization()]


def dropped() -> list[Any]:
    return [layers.Dropout(0.2)]


TASKS = {
    "friedman-dense": Task(friedman, dense(10, 32, 32, outputs=1), 0, 40),
    "blobs-dense": Task(blobs, dense(20, 64, 64, outputs=10), 10, 20),
    "digits-dense": Task(real("digits", shape=(64,)), dense(64, 64, outputs=10, extra=normalised), 10, 15),
    "waves-conv": Task(waves, convolutional((40, 1), (8, 16), 10, normalise=False), 10, 20),
    "adding-gru": Task(adding, recurrent(16, 2, 16, 1), 0, 20),
    "boston-dense": Task(real("boston-housing"), dense(13, 64, 64, outputs=1), 0, 50),
    "products-dense-bn": Task(products, dense(12, 64, 64, outputs=1, extra=normalised), 0, 30),
    "spirals-tanh-deep": Task(spirals, dense(2, 32, 32, 32, 32, outputs=3, activation="tanh"), 3, 30),
    "fashion-dense": Task(real("fashion-mnist", 2000, 2, (196,)), dense(196, 100, outputs=10), 10, 12),
    "fashion-conv-bn": Task(real("fashion-mnist", 2000, 2), convolutional((14, 14, 1), (8, 16), 10, True), 10, 10),
    "cifar-conv": Task(real("cifar10", 2000, 2), convolutional((16, 16, 3), (12, 24), 10, False), 10, 12),
    "cifar-dense-dropout": Task(
        real("cifar10", 2000, 4, (192,)), dense(192, 96, 96, outputs=10, extra=dropped), 10, 15
    ),
    "digits-conv": Task(real("digits"), convolutional((8, 8, 1), (8, 16), 10, False), 10, 12),
    "digits-lstm": Task(real("digits", shape=(8, 8)), recurrent(8, 8, 24, 10, layers.LSTM), 10, 12),
    "digits-attention": Task(real("digits", shape=(8, 8)), attention(8, 8, 16, 10), 10, 12),
    "recall-attention": Task(recall, attention(11, 16, 24, 8, blocks=2), 8, 20),
    "waves-gru-small-batch": Task(
        lambda: waves(600), recurrent(40, 1, 16, 10), 10, 15, batch_size=16
    ),
}  # fmt: skip


@cache
def data_of(name: str) -> tuple[Arrays, Arrays]:
    return TASKS[name].data()
