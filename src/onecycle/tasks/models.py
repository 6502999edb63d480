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
    return convolutional("digits", (8, 8, 1), filters=(16, 32), units=64)


def fashion_net() -> Any:
    """Two convolutions with batch normalisation and a dense layer."""
    return convolutional("fashion_mnist", (28, 28, 1), filters=(16, 32), units=128, normalise=True)


def cifar_net() -> Any:
    """Three blocks of two convolutions with batch normalisation, dropout, and a dense layer."""
    return convolutional("cifar10", (32, 32, 3), filters=(24, 48, 96), depth=2, units=128, normalise=True, dropout=0.2)


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
    filters: tuple[int, ...],
    units: int,
    depth: int = 1,
    normalise: bool = False,
    dropout: float = 0.0,
) -> Any:
    """A small CNN: for each entry of `filters` a block of `depth` 3 × 3 convolutions and a pooling, then a dense layer.

    Args:
        name: The model's name.
        shape: Height, width and channels of a picture.
        filters: Filters of each block's convolutions.
        units: Units of the dense layer.
        depth: Convolutions in a block.
        normalise: Whether batch normalisation follows each convolution.
        dropout: Share dropped after each block; twice as much after the dense layer.
    """
    import keras
    from keras import layers

    stack = [keras.Input(shape)]
    for width in filters:
        for _ in range(depth):
            # Batch normalisation has a shift of its own, so the convolution before it needs none.
            stack.append(
                layers.Conv2D(width, 3, padding="same", use_bias=not normalise, kernel_initializer="he_normal")
            )
            stack += [layers.BatchNormalization()] if normalise else []
            stack.append(layers.Activation("relu"))
        stack.append(layers.MaxPooling2D())
        stack += [layers.Dropout(dropout)] if dropout else []
    stack += [layers.Flatten(), layers.Dense(units, activation="relu", kernel_initializer="he_normal")]
    stack += [layers.Dropout(2 * dropout)] if dropout else []
    return keras.Sequential([*stack, layers.Dense(CLASSES)], name=name)
