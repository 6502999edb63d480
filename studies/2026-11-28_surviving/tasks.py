"""The tasks of this study: small data sets, networks, and what may go wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """A data set with a network.

    Attributes:
        data: "boston", "digits" or "fashion".
        net: Returns the network, not compiled.
        epochs: Number of epochs with batches of 32 rows.
    """

    data: str
    net: Callable[[], keras.Model]
    epochs: int

    @property
    def loss(self) -> str | keras.losses.Loss:
        return "mse" if self.data == "boston" else keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@cache
def data_of(name: str, raw: bool = False) -> tuple[Arrays, Arrays]:
    """Return ((x, y), (x_test, y_test)).

    Args:
        name: Name of the data.
        raw: Whether the inputs are left as they are: columns in their own units, pixels from 0 to 255.
    """
    rng = np.random.default_rng(0)
    if name == "fashion":
        with np.load(folder() / "fashion-mnist.npz") as found:
            x = np.concatenate([found["x_train"][:4096], found["x_test"][:1000]])
            y = np.concatenate([found["y_train"][:4096], found["y_test"][:1000]]).astype("int64")
        x, rows = x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196), 4096
    elif name == "digits":
        x, y = load_digits(return_X_y=True)
        order, rows = rng.permutation(len(x)), 1024
        x, y = (x * 255 / 16)[order], y[order]
    else:
        with np.load(folder() / "boston-housing.npz") as found:
            x, y = found["x"], found["y"].reshape(-1, 1).astype("float32")
        order, rows = rng.permutation(len(x)), 404
        x, y = x[order], y[order]
    if not raw:
        axis = 0 if name == "boston" else None
        x = (x - x[:rows].mean(axis=axis)) / x[:rows].std(axis=axis)
    x = x.astype("float32")
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def folder() -> Path:
    return Path(os.environ["ONECYCLE_DATA"])


def dense(*widths: int, normalized: bool = False) -> keras.Model:
    stack = [keras.Input((widths[0],))]
    for width in widths[1:-1]:
        stack += [layers.Dense(width)] + ([layers.BatchNormalization()] if normalized else [])
        stack.append(layers.Activation("relu"))
    return keras.Sequential([*stack, layers.Dense(widths[-1], dtype="float32")])


def convolutional() -> keras.Model:
    return keras.Sequential([
        keras.Input((64,)), layers.Reshape((8, 8, 1)),
        layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(), layers.Dense(10, dtype="float32"),
    ])  # fmt: skip


def recurrent() -> keras.Model:
    return keras.Sequential([
        keras.Input((64,)), layers.Reshape((8, 8)), layers.LSTM(24), layers.Dense(10, dtype="float32"),
    ])  # fmt: skip


def attention() -> keras.Model:
    start = keras.Input((64,))
    x = layers.Dense(16)(layers.Reshape((8, 8))(start))
    normal = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(normal, normal)])
    x = layers.Add()([x, layers.Dense(16)(layers.Dense(32, "relu")(layers.LayerNormalization()(x)))])
    return keras.Model(start, layers.Dense(10, dtype="float32")(layers.Flatten()(x)))


TASKS = {
    "boston-dense": Task("boston", partial(dense, 13, 64, 64, 1), 20),
    "fashion-dense": Task("fashion", partial(dense, 196, 64, 10), 3),
    "digits-dense-bn": Task("digits", partial(dense, 64, 64, 64, 10, normalized=True), 8),
    "digits-conv": Task("digits", convolutional, 8),
    "digits-lstm": Task("digits", recurrent, 10),
    "digits-attention": Task("digits", attention, 8),
}
OPTIMIZERS = {
    "sgd": lambda **options: keras.optimizers.SGD(0.01, momentum=0.9, **options),
    "adamw": lambda weight_decay=0.01, **options: keras.optimizers.AdamW(0.001, weight_decay=weight_decay, **options),
}
BIG_BATCH, BIG_EPOCHS = 2048, 60  # all rows in one step, or in two
