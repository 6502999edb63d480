"""The networks, each for Keras and for plain PyTorch, and their random data."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras
    from torch import nn

BATCH = 32
ROWS = 32 * BATCH
TOKENS, WIDTH, HEADS, LENGTH = 64, 32, 2, 32  # of the attention network
NETS = ("13-64-64-1", "784-300-100-10", "fashion-mnist-cnn", "attention", "residual-cnn")
_DENSE = {"13-64-64-1": (13, 64, 64, 1), "784-300-100-10": (784, 300, 100, 10)}


def data(name: str) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return inputs, with channels last, and targets: classes, or numbers (n, 1) for the regression."""
    random = np.random.default_rng(0)
    if name == "attention":
        return random.integers(TOKENS, size=(ROWS, LENGTH)), random.integers(10, size=ROWS)
    shapes = {"fashion-mnist-cnn": (28, 28, 1), "residual-cnn": (32, 32, 3)}
    x = random.normal(size=(ROWS, *(shapes.get(name) or _DENSE[name][:1]))).astype("float32")
    return x, x[:, :1] if is_regression(name) else random.integers(10, size=ROWS)


def is_regression(name: str) -> bool:
    """Return whether the loss is the squared error, and not the cross-entropy of logits."""
    return name == "13-64-64-1"


def keras_net(name: str) -> keras.Model:
    """Return a network that is not compiled."""
    import keras
    from keras import layers, ops

    from onecycle.tasks import models

    if name in _DENSE:
        first, *hidden, last = _DENSE[name]
        dense = [layers.Dense(width, activation="relu") for width in hidden]
        return keras.Sequential([keras.Input((first,)), *dense, layers.Dense(last)])
    if name == "fashion-mnist-cnn":
        return models.fashion_net()
    if name == "attention":
        inputs = keras.Input((LENGTH,), dtype="int32")
        positions = ops.cumsum(ops.ones_like(inputs), axis=1) - 1
        x = layers.Embedding(TOKENS, WIDTH)(inputs) + layers.Embedding(LENGTH, WIDTH)(positions)
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
        x = x + layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(x)))
        return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))))
    inputs = keras.Input((32, 32, 3))
    x = _normalized_convolution(inputs, 16)
    for width, stride in ((16, 1), (32, 2)):
        y = _normalized_convolution(x, width, stride)
        y = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(y))
        short = x if stride == 1 else layers.Conv2D(width, 1, strides=stride, use_bias=False)(x)
        x = layers.ReLU()(y + short)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def _normalized_convolution(x: keras.KerasTensor, width: int, stride: int = 1) -> keras.KerasTensor:
    from keras import layers

    x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def torch_net(name: str) -> nn.Module:
    """Return the same network in plain PyTorch, which takes images with channels first."""
    from torch import nn

    if name in _DENSE:
        widths = _DENSE[name]
        parts: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            parts += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*parts[:-1])
    if name == "fashion-mnist-cnn":
        return nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10)),
        )
    from benchmarks.peers import torch_blocks

    return torch_blocks.Attention() if name == "attention" else torch_blocks.Residual()
