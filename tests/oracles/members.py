"""Small models for the tests of `train_members`, and `fit` with the rows in the same order as in each engine."""

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
    """Return SGD with momentum."""
    return keras.optimizers.SGD(0.01, momentum=0.9)


def adam():
    """Return Adam with moving averages of the weights, which `fit` assigns to the weights when it ends."""
    return keras.optimizers.Adam(0.01, use_ema=True)


def plain():
    """Return layers: one dense layer."""
    return [keras.Input((4,)), layers.Dense(4, "tanh")]


def dense():
    """Return layers: a dense layer, BatchNormalization and dropout."""
    return [keras.Input((4,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.3)]


def convolutional():
    """Return layers: one convolution."""
    return [keras.Input((4, 4, 1)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten()]


def make(body=plain, optimizer=sgd, **compiled):
    """Return a small compiled model that has not been trained."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([*body(), layers.Dense(1)])
    model.compile(optimizer(), **{"loss": "mse", **compiled})
    return model


def arrays(model, rows=ROWS, seed=0):
    """Return inputs and targets that the model can learn."""
    x = np.random.default_rng(seed).normal(size=(rows, *model.input_shape[1:])).astype("float32")
    return x, 2 * x.reshape(rows, -1)[:, :1]


def fit_data(engine, x, y, seed, epochs):
    """Return the data arguments of a `fit` that reads the rows in the same order as the engine."""
    if engine == "fit":
        return {"x": x, "y": y, "batch_size": BATCH}
    return reading.in_program_order((x, y), seed=seed, batch_size=BATCH, epochs=epochs)
