"""The tasks' models. They are fixed: a change here would make every number measured on them before incomparable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

METRICS = {"digits": "accuracy", "boston-housing": "mae", "fashion-mnist": "accuracy", "cifar10": "accuracy"}
CLASSES = 10


def build(name: str, *, seed: int | None, optimizer: Any) -> Any:
    """Return the task's model, compiled."""
    import keras

    if seed is not None:
        keras.utils.set_random_seed(seed)
    model = MODELS[name]()
    classifies = METRICS[name] == "accuracy"
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.01, momentum=0.9) if optimizer is None else optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classifies else "mse",
        metrics=[METRICS[name]],
    )
    return model


def boston_net() -> Any:
    """A dense net 13-64-64-1: 5,121 weights."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((13,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(1),
        ],
        name="boston_housing",
    )


def digits_net() -> Any:
    """Two convolutions and a dense layer."""
    return convolutional("digits", (8, 8, 1), blocks=((16,), (32,)), units=64)


def fashion_net() -> Any:
    """Two convolutions with batch normalisation and a dense layer."""
    return convolutional("fashion_mnist", (28, 28, 1), blocks=((16,), (32,)), units=128, normalise=True)


def cifar_net() -> Any:
    """Pictures mirrored at random, four normalised convolutions in three blocks, dropout, dense: 505,450 weights."""
    blocks = ((32,), (64,), (128, 128))
    return convolutional("cifar10", (32, 32, 3), blocks=blocks, units=128, normalise=True, dropout=0.1, mirror=True)


MODELS: dict[str, Callable[[], Any]] = {
    "digits": digits_net,
    "boston-housing": boston_net,
    "fashion-mnist": fashion_net,
    "cifar10": cifar_net,
}


def convolutional(
    name: str,
    shape: tuple[int, int, int],
    *,
    blocks: tuple[tuple[int, ...], ...],
    units: int,
    normalise: bool = False,
    dropout: float = 0.0,
    mirror: bool = False,
) -> Any:
    """A small CNN: blocks of 3 × 3 convolutions, the last of each pooled, then a dense layer.

    Args:
        name: The model's name.
        shape: Height, width and channels of a picture.
        blocks: For each block the filters of its convolutions.
        units: Units of the dense layer.
        normalise: Whether batch normalisation follows each convolution.
        dropout: Share dropped after each block; twice as much after the dense layer.
        mirror: Whether half the pictures are mirrored, left to right, in training.
    """
    import keras
    from keras import layers

    stack = [keras.Input(shape)] + ([layers.RandomFlip("horizontal")] if mirror else [])
    for block in blocks:
        for depth, filters in enumerate(block, start=1):
            # Batch normalisation has a shift of its own, so the convolution before it needs none.
            stack.append(
                layers.Conv2D(filters, 3, padding="same", use_bias=not normalise, kernel_initializer="he_normal")
            )
            # Pooled before the activation, with which it commutes, and before the normalisation: a quarter of the work.
            stack += [layers.MaxPooling2D()] if depth == len(block) else []
            stack += [layers.BatchNormalization()] if normalise else []
            stack.append(layers.Activation("relu"))
        stack += [layers.Dropout(dropout)] if dropout else []
    stack += [layers.Flatten(), layers.Dense(units, activation="relu", kernel_initializer="he_normal")]
    stack += [layers.Dropout(2 * dropout)] if dropout else []
    return keras.Sequential([*stack, layers.Dense(CLASSES)], name=name)
