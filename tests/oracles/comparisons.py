"""A small comparison with any arms."""

import keras
import numpy as np

from onecycle import compare

ROWS, HELD_OUT = 96, 32


def data_of(seed=0):
    """Return two classes that a small net learns in a few epochs."""
    draws = np.random.default_rng(seed)
    x = draws.normal(size=(ROWS + HELD_OUT, 4)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("int32")
    return (x[:ROWS], y[:ROWS]), (x[ROWS:], y[ROWS:])


def build():
    """Return a net with one hidden layer and plain SGD."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.5), loss, metrics=["accuracy"])
    return model


def compared(arms, *, seeds=1, epochs=2, **options):
    """Return a comparison made without output."""
    return compare(build, data_of(), arms, seeds=seeds, epochs=epochs, **{"verbose": 0, **options})
