"""The tasks: data, small models in JAX, loss and error. Data and split are the same for every seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits, make_friedman1

BATCH_SIZE = 32
Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Task:
    """A task.

    Attributes:
        shapes: of the weights, by name; matrices start Glorot uniform, vectors at 0, as in Keras.
        apply: (weights, inputs) -> outputs: logits, or one number a row.
        classes: number of classes, 0 for a regression.
    """

    train: Arrays
    test: Arrays
    shapes: dict[str, tuple[int, ...]]
    apply: Callable[[Any, Any], Any]
    classes: int = 0

    def loss(self, output: Any, y: Any) -> Any:
        """Mean cross-entropy, or mean squared error."""
        if not self.classes:
            return jnp.mean((output[:, 0] - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1))

    def error(self, output: Any, y: Any) -> Any:
        """Share of rows that are classified wrongly; NaN for a regression."""
        return jnp.mean(jnp.argmax(output, axis=1) != y) if self.classes else jnp.nan

    def start(self, seed: int) -> dict[str, np.ndarray]:
        """Initial weights."""
        random = np.random.default_rng([seed, 0])
        return {name: _initial(random, name, shape) for name, shape in self.shapes.items()}

    def batches(self, seed: int, steps: int) -> np.ndarray:
        """Rows of each step, (steps, batch size): every epoch in a new order, its incomplete batch left out."""
        random = np.random.default_rng([seed, 1])
        n = len(self.train[0])
        per_epoch = n // BATCH_SIZE
        epochs = [random.permutation(n)[: per_epoch * BATCH_SIZE] for _ in range(-(-steps // per_epoch))]
        return np.concatenate(epochs).reshape(-1, BATCH_SIZE)[:steps].astype(np.int32)


@cache
def load(name: str) -> Task:
    """Return a task by its name."""
    return TASKS[name]()


def _digits_dense() -> Task:
    train, test = _digits((64,))
    return Task(train, test, _dense_shapes(64, 64, 64, 10), _dense, classes=10)


def _digits_conv() -> Task:
    train, test = _digits((8, 8, 1))
    shapes = {"k0": (9, 16), "b0": (16,), "k1": (144, 32), "b1": (32,), "w2": (128, 10), "b2": (10,)}
    return Task(train, test, shapes, _conv, classes=10)


def _digits_lstm() -> Task:
    train, test = _digits((8, 8))
    shapes = {"w": (8, 128), "u": (32, 128), "forget": (32,), "b": (128,), "out": (32, 10), "bo": (10,)}
    return Task(train, test, shapes, _lstm, classes=10)


def _digits_attention() -> Task:
    train, test = _digits((8, 8))
    shapes = {"embed": (8, 32), "place": (8, 32), "qkv": (32, 96), "mix": (32, 32), "up": (32, 64), "bu": (64,)}
    shapes |= {"down": (64, 32), "bd": (32,), "out": (32, 10), "bo": (10,)}
    shapes |= {f"scale{k}": (32,) for k in range(3)} | {f"shift{k}": (32,) for k in range(3)}
    return Task(train, test, shapes, _attention, classes=10)


def _boston() -> Task:
    """The split of `keras.datasets.boston_housing`, the price standardised too."""
    with np.load(Path(os.environ["ONECYCLE_DATA"]) / "boston-housing.npz") as archive:
        x, y = archive["x"], archive["y"]
    order = np.arange(len(x))
    np.random.RandomState(113).shuffle(order)
    train, test = _standardised(x[order], y[order], 404)
    return Task(train, test, _dense_shapes(13, 64, 64, 1), _dense)


def _fashion() -> Task:
    """The first 10,000 training and 2,000 test pictures of Fashion-MNIST."""
    with np.load(Path(os.environ["ONECYCLE_DATA"]) / "fashion-mnist.npz") as archive:
        x, y = archive["x_train"][:10_000].reshape(-1, 784), archive["y_train"][:10_000].astype(np.int32)
        held_x, held_y = archive["x_test"][:2_000].reshape(-1, 784), archive["y_test"][:2_000].astype(np.int32)
    mean, deviation = x.mean(), x.std()
    x, held_x = (((images - mean) / deviation).astype(np.float32) for images in (x, held_x))
    return Task((x, y), (held_x, held_y), _dense_shapes(784, 64, 64, 10), _dense, classes=10)


def _friedman() -> Task:
    """Friedman's first regression with noise of 1, 1000 rows to train and 1000 held out."""
    train, test = _standardised(*make_friedman1(2000, noise=1.0, random_state=0), 1000)
    return Task(train, test, _dense_shapes(10, 64, 64, 1), _dense)


def _spirals() -> Task:
    """Two noisy spirals of one and a half turns, 1000 points to train and 1000 held out."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 2000)
    angle = 3 * np.pi * np.sqrt(random.uniform(0.02, 1, 2000))
    turned = angle + np.pi * y
    x = (angle / np.pi)[:, None] * np.stack([np.cos(turned), np.sin(turned)], axis=1)
    x = (x + random.normal(0, 0.2, x.shape)).astype(np.float32)
    return Task((x[:1000], y[:1000]), (x[1000:], y[1000:]), _dense_shapes(2, 64, 64, 2), _dense, classes=2)


TASKS = {
    "digits-dense": _digits_dense,
    "digits-conv": _digits_conv,
    "digits-lstm": _digits_lstm,
    "digits-attention": _digits_attention,
    "fashion-dense": _fashion,
    "boston-dense": _boston,
    "friedman-dense": _friedman,
    "spirals-dense": _spirals,
}


def _dense(w: Any, x: Any) -> Any:
    hidden = jax.nn.relu(x @ w["w0"] + w["b0"])
    hidden = jax.nn.relu(hidden @ w["w1"] + w["b1"])
    return hidden @ w["w2"] + w["b2"]


def _dense_shapes(*widths: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (before, after) in enumerate(pairwise(widths)):
        shapes |= {f"w{k}": (before, after), f"b{k}": (after,)}
    return shapes


def _conv(w: Any, x: Any) -> Any:
    """Two 3 × 3 convolutions, each with a pooling, and a dense layer."""
    for k in range(2):
        # As a matrix product over patches: a convolution under `vmap` over its kernel is slow on a CPU.
        height, width = x.shape[1:3]
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        patches = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        x = jax.nn.relu(jnp.concatenate(patches, axis=-1) @ w[f"k{k}"] + w[f"b{k}"])
        x = x.reshape(len(x), height // 2, 2, width // 2, 2, -1).max(axis=(2, 4))
    return x.reshape(len(x), -1) @ w["w2"] + w["b2"]


def _lstm(w: Any, x: Any) -> Any:
    """An LSTM over the rows of a picture, forget bias starting at 1 as in Keras, and a dense layer."""
    state = cell = jnp.zeros((len(x), 32))
    for row in range(x.shape[1]):
        i, f, c, o = jnp.split(x[:, row] @ w["w"] + state @ w["u"] + w["b"], 4, axis=1)
        cell = jax.nn.sigmoid(f + 1 + w["forget"]) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
        state = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return state @ w["out"] + w["bo"]


def _attention(w: Any, x: Any) -> Any:
    """One transformer block, normalised first, with one head over the rows of a picture, and a dense layer."""
    h = x @ w["embed"] + w["place"]
    q, k, v = jnp.split(_normalised(h, w, 0) @ w["qkv"], 3, axis=-1)
    shares = jax.nn.softmax(q @ jnp.swapaxes(k, -1, -2) / np.sqrt(32))
    h = h + shares @ v @ w["mix"]
    h = h + jax.nn.gelu(_normalised(h, w, 1) @ w["up"] + w["bu"]) @ w["down"] + w["bd"]
    return _normalised(h, w, 2).mean(axis=1) @ w["out"] + w["bo"]


def _normalised(h: Any, w: Any, k: int) -> Any:
    centred = h - h.mean(axis=-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-3) * w[f"scale{k}"] + w[f"shift{k}"]


def _digits(shape: tuple[int, ...]) -> tuple[Arrays, Arrays]:
    images, labels = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(images))
    x = ((images[order] - images[order[:1437]].mean()) / images[order[:1437]].std()).astype(np.float32)
    x, y = x.reshape(-1, *shape), labels[order].astype(np.int32)
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def _standardised(x: np.ndarray, y: np.ndarray, n: int) -> tuple[Arrays, Arrays]:
    """Both standardised by the first n rows, which are those to train."""
    x = ((x - x[:n].mean(axis=0)) / x[:n].std(axis=0)).astype(np.float32)
    y = ((y - y[:n].mean()) / y[:n].std()).astype(np.float32)
    return (x[:n], y[:n]), (x[n:], y[n:])


def _initial(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 1:
        return np.full(shape, 1.0 if name.startswith("scale") else 0.0, np.float32)
    limit = np.sqrt(6 / sum(shape))
    return random.uniform(-limit, limit, shape).astype(np.float32)
