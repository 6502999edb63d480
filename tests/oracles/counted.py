"""A small comparison in a folder, which counts the models that it builds."""

import keras
import numpy as np

from onecycle import compare

BUILT = []


def build():
    """A net of a few weights; counts how often it is made."""
    BUILT.append(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(40, 2)).astype("float32")
DATA = ((X[:32], X[:32, :1]), (X[32:], X[32:, :1]))
ARMS = {"plain": {}, "A cycle": {"max_learning_rate": 0.1}}


def compared(directory, *, arms=ARMS, make=build, data=DATA, **options):
    """A small comparison in that folder."""
    return compare(make, data, arms, **{"seeds": 2, "epochs": 1, "verbose": 0, "directory": directory, **options})


def trained():
    """How many runs were made since the last call; each comparison builds one model more, to look at it."""
    count = len(BUILT) - 1
    BUILT.clear()
    return count


def files(directory):
    """The folder's files by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}
