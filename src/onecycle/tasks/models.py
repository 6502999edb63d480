"""The models of the tasks. They never change, so that results of different versions of onecycle are comparable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

METRICS = {"digits": "accuracy", "boston-housing": "mae", "fashion-mnist": "accuracy", "cifar10": "accuracy"}
CLASSES = 10


def build(name: str, *, seed: int | None, optimizer: keras.optimizers.Optimizer | str | None) -> keras.Model:
    """Return the compiled model of a task.

    Args:
        name: Name of the task.
        seed: Random seed that is set first. None sets no seed.
        optimizer: The optimizer for `Model.compile`. None means SGD with learning rate 0.01 and momentum 0.9.
    """
    import keras

    if seed is not None:
        keras.utils.set_random_seed(seed)
    model = MODELS[name]()
    is_classifier = METRICS[name] == "accuracy"
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.01, momentum=0.9) if optimizer is None else optimizer,
        # The networks have no softmax, so their outputs are logits.
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True) if is_classifier else "mse",
        metrics=[METRICS[name]],
    )
    return model


def boston_net() -> keras.Model:
    """Return a dense network 13-64-64-1 with 5,121 weights."""
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


def digits_net() -> keras.Model:
    """Return a network with two convolutions and a dense layer: 13,706 weights."""
    return convolutional("digits", (8, 8, 1), blocks=((16,), (32,)), units=64)


def fashion_net() -> keras.Model:
    """Return a network with two convolutions, batch normalization and a dense layer: 207,066 weights."""
    return convolutional("fashion_mnist", (28, 28, 1), blocks=((16,), (32,)), units=128, batch_normalization=True)


def cifar_net() -> keras.Model:
    """Return a network of four convolutions in three blocks, with random flips and dropout: 505,450 weights."""
    return convolutional(
        "cifar10", (32, 32, 3), blocks=((32,), (64,), (128, 128)), units=128, batch_normalization=True, dropout=0.1,
        random_flip=True,
    )  # fmt: skip


MODELS: dict[str, Callable[[], keras.Model]] = {
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
    batch_normalization: bool = False,
    dropout: float = 0.0,
    random_flip: bool = False,
) -> keras.Model:
    """Return a CNN: blocks of 3 × 3 convolutions, each followed by max pooling, and a dense layer.

    Args:
        name: Name of the model.
        shape: Height, width and channels of an image.
        blocks: For each block, the filters of its convolutions.
        units: Units of the dense layer.
        batch_normalization: Whether batch normalization follows each convolution.
        dropout: Dropout rate after each block, 0 to 0.5. The rate after the dense layer is twice as high.
        random_flip: Whether images are flipped at random, left to right, during training.
    """
    import keras
    from keras import layers

    stack = [keras.Input(shape)] + ([layers.RandomFlip("horizontal")] if random_flip else [])
    for block in blocks:
        for depth, filters in enumerate(block, start=1):
            is_last = depth == len(block)
            stack += _convolution(filters, pooling=is_last, batch_normalization=batch_normalization)
        stack += [layers.Dropout(dropout)] if dropout else []
    stack += [layers.Flatten(), layers.Dense(units, activation="relu", kernel_initializer="he_normal")]
    stack += [layers.Dropout(2 * dropout)] if dropout else []
    return keras.Sequential([*stack, layers.Dense(CLASSES)], name=name)


def _convolution(filters: int, *, pooling: bool, batch_normalization: bool) -> list[keras.Layer]:
    from keras import layers

    # Batch normalization adds its own bias.
    use_bias = not batch_normalization
    stack = [layers.Conv2D(filters, 3, padding="same", use_bias=use_bias, kernel_initializer="he_normal")]
    # Max pooling and ReLU commute. Pooled first, normalization and activation have a quarter of the work.
    stack += [layers.MaxPooling2D()] if pooling else []
    stack += [layers.BatchNormalization()] if batch_normalization else []
    return [*stack, layers.Activation("relu")]
