"""Small models for `train_members`, and the `fit` that reads the rows as its engines do."""

import keras
import numpy as np
import pytest

import onecycle
from oracles import reading

layers = keras.layers
COMPILED = {"jax": ("vmap", "scan"), "tensorflow": ("scan",)}.get(keras.backend.backend(), ())
each_engine = pytest.mark.parametrize("engine", [*COMPILED, "fit"])
ROWS, BATCH, EPOCHS = 40, 8, 3
STEPS = 5 * EPOCHS
CYCLE = onecycle.OneCycle(0.05, STEPS)


def sgd():
    """SGD with momentum."""
    return keras.optimizers.SGD(0.01, momentum=0.9)


def adam():
    """Adam that keeps moving averages, which `fit` writes into the weights as it ends."""
    return keras.optimizers.Adam(0.01, use_ema=True)


def plain():
    """One dense layer before the last."""
    return [keras.Input((4,)), layers.Dense(4, "tanh")]


def dense():
    """BatchNormalization and dropout between two dense layers."""
    return [keras.Input((4,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.3)]


def convolutional():
    """A convolution."""
    return [keras.Input((4, 4, 1)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten()]


def make(body=plain, optimizer=sgd, **compiled):
    """A small model that is compiled but has not trained."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([*body(), layers.Dense(1)])
    model.compile(optimizer(), **{"loss": "mse", **compiled})
    return model


def arrays(model, rows=ROWS, seed=0):
    """Inputs and targets that the model can learn."""
    x = np.random.default_rng(seed).normal(size=(rows, *model.input_shape[1:])).astype("float32")
    return x, 2 * x.reshape(rows, -1)[:, :1]


def read(engine, x, y, seed, epochs):
    """Arguments of the `fit` that reads the rows as the engine does."""
    if engine == "fit":
        return {"x": x, "y": y, "batch_size": BATCH}
    return reading.as_programs_do((x, y), seed=seed, batch_size=BATCH, epochs=epochs)
