"""A small comparison in a folder, with a count of the models it builds."""

import keras
import numpy as np

from onecycle import compare

BUILT = []


def build():
    """Return a net with a few weights, and count it."""
    BUILT.append(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(40, 2)).astype("float32")
DATA = ((X[:32], X[:32, :1]), (X[32:], X[32:, :1]))
ARMS = {"plain": {}, "A cycle": {"max_learning_rate": 0.1}}


def compared(directory, *, arms=ARMS, make=build, data=DATA, **options):
    """Return a small comparison with its records in the folder."""
    return compare(make, data, arms, **{"seeds": 2, "epochs": 1, "verbose": 0, "directory": directory, **options})


def trained():
    """Return the number of runs made since the last call. Each comparison builds one more model for its dry run."""
    count = len(BUILT) - 1
    BUILT.clear()
    return count


def files(directory):
    """Return name -> content of the folder's files."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}
