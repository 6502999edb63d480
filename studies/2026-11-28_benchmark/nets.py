"""The models of the tasks: dense, convolutional, recurrent and attention networks of 5,000 to 200,000 weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

Net = Callable[[], keras.Model]


def dense(
    inputs: int, hidden: tuple[int, ...], outputs: int, *, activation: str = "relu", normalized: bool = False,
    dropout: float = 0.0, residual: bool = False,
) -> Net:  # fmt: skip
    """Return a function that makes a dense network.

    Args:
        inputs: Number of columns.
        hidden: Units of the hidden layers.
        outputs: Number of outputs.
        activation: Activation of the hidden layers.
        normalized: Whether a batch normalization follows each hidden layer.
        dropout: Dropout rate after each hidden layer.
        residual: Whether each hidden layer but the first is a block with layer normalization, added to its input.
    """

    def make() -> keras.Model:
        start = x = keras.Input((inputs,))
        for k, units in enumerate(hidden):
            before = x
            x = layers.Dense(units)(layers.LayerNormalization()(x) if residual and k else x)
            x = layers.BatchNormalization()(x) if normalized else x
            x = layers.Activation(activation)(x)
            x = layers.Dropout(dropout)(x) if dropout else x
            x = before + layers.Dense(units)(x) if residual and k else x
        return keras.Model(start, layers.Dense(outputs)(x))

    return make


def convolved(x: Any, depth: int, width: int = 3) -> Any:
    """Return a convolution with padding, in one or two dimensions, as a dense layer of shifted copies.

    It is the same function as `Conv1D` or `Conv2D`, whose gradients take four to eight times as long in a loop that
    JAX compiles for a processor.

    Args:
        x: Input.
        depth: Number of filters.
        width: Width of the filters, an odd number.
    """
    if width > 1:
        sides, flat = x.shape[1:-1], len(x.shape) == 3
        x = (layers.ZeroPadding1D if flat else layers.ZeroPadding2D)(width // 2)(x)
        shifts = np.ndindex(*[width] * len(sides))
        cuts = [tuple(slice(k, k + side) for k, side in zip(shift, sides, strict=True)) for shift in shifts]
        x = layers.Concatenate()([x[(slice(None), *cut)] for cut in cuts])
    return layers.Dense(depth, kernel_initializer="he_normal")(x)


def halved(x: Any) -> Any:
    """Return the means of neighbors, two in one dimension, four in two."""
    *sides, depth = x.shape[1:]
    pairs = [size for side in sides for size in (side // 2, 2)]
    x = layers.Reshape((*pairs, depth))(x)
    return keras.ops.mean(x, axis=tuple(range(2, 2 * len(sides) + 1, 2)))


def convolutional(shape: tuple[int, ...], filters: tuple[int, ...], outputs: int) -> Net:
    """Return a function that makes a network of convolutions, each followed by `halved`, without normalization."""

    def make() -> keras.Model:
        start = x = keras.Input(shape)
        for depth in filters:
            x = halved(layers.Activation("relu")(convolved(x, depth)))
        return keras.Model(start, layers.Dense(outputs)(layers.Flatten()(x)))

    return make


def residual(shape: tuple[int, ...], filters: tuple[int, ...], outputs: int) -> Net:
    """Return a function that makes a residual network with batch normalization, in one or two dimensions.

    Args:
        shape: Shape of an input.
        filters: Filters of each block, before which the resolution is halved.
        outputs: Number of classes.
    """
    width = 5 if len(shape) == 2 else 3
    pool = layers.GlobalAveragePooling1D if len(shape) == 2 else layers.GlobalAveragePooling2D

    def make() -> keras.Model:
        start = x = keras.Input(shape)
        for depth in filters:
            x = halved(x)
            inner = layers.Activation("relu")(layers.BatchNormalization()(convolved(x, depth, width)))
            inner = layers.BatchNormalization()(convolved(inner, depth, width))
            x = layers.Activation("relu")(layers.BatchNormalization()(convolved(x, depth, 1)) + inner)
        return keras.Model(start, layers.Dense(outputs)(pool()(x)))

    return make


def denoiser(shape: tuple[int, ...], filters: int, blocks: int) -> Net:
    """Return a function that makes a network of residual convolutions whose output is an image."""

    def make() -> keras.Model:
        start = keras.Input(shape)
        x = layers.Activation("relu")(convolved(start, filters))
        for _ in range(blocks):
            x = x + layers.Activation("relu")(convolved(x, filters))
        return keras.Model(start, convolved(x, shape[-1]))

    return make


def recurrent(kind: Any, length: int, inputs: int, units: int, outputs: int, *, embedded: int = 0) -> Net:
    """Return a function that makes a recurrent network.

    Args:
        kind: `keras.layers.GRU` or `LSTM`.
        length: Length of a sequence.
        inputs: Number of columns, or of symbols if they are embedded.
        units: Units of the recurrent layer.
        outputs: Number of outputs.
        embedded: Width of the embedding of symbols, 0 for sequences of numbers.
    """

    def make() -> keras.Model:
        start = keras.Input((length,), dtype="int32") if embedded else keras.Input((length, inputs))
        x = layers.Embedding(inputs, embedded)(start) if embedded else start
        return keras.Model(start, layers.Dense(outputs)(kind(units)(x)))

    return make


def attention(
    length: int, inputs: int, outputs: int, *, width: int = 32, blocks: int = 2, heads: int = 2, tokens: bool = False,
    patches: int = 0, every: bool = False, dropout: float = 0.0,
) -> Net:  # fmt: skip
    """Return a function that makes a network of pre-normalized attention blocks.

    Args:
        length: Length of a sequence, or side of an image.
        inputs: Number of symbols, of columns, or of channels of an image.
        outputs: Number of outputs.
        width: Width of the network.
        blocks: Number of blocks, each of attention and two dense layers.
        heads: Number of heads.
        tokens: Whether the input consists of symbols.
        patches: Side of the patches into which an image is cut; 0 for sequences.
        every: Whether each position has an output and sees only those before it, or all of them have one together.
        dropout: Dropout rate of each block.
    """

    def embedded() -> tuple[Any, Any]:
        if tokens:
            start = keras.Input((length,), dtype="int32")
            return start, layers.Embedding(inputs, width)(start)
        if patches:
            start = keras.Input((length, length, inputs))
            x = layers.Conv2D(width, patches, strides=patches)(start)
            return start, layers.Reshape((-1, width))(x)
        start = keras.Input((length, inputs))
        return start, layers.Dense(width)(start)

    def make() -> keras.Model:
        start, x = embedded()
        x = x + layers.Embedding(x.shape[1], width)(np.arange(x.shape[1])[None])
        for _ in range(blocks):
            normal = layers.LayerNormalization()(x)
            mixed = layers.MultiHeadAttention(heads, width // heads)(normal, normal, use_causal_mask=every)
            x = x + (layers.Dropout(dropout)(mixed) if dropout else mixed)
            inner = layers.Dense(2 * width, "gelu")(layers.LayerNormalization()(x))
            inner = layers.Dense(width)(inner)
            x = x + (layers.Dropout(dropout)(inner) if dropout else inner)
        x = layers.LayerNormalization()(x)
        return keras.Model(start, layers.Dense(outputs)(x if every else layers.GlobalAveragePooling1D()(x)))

    return make
