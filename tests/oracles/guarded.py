"""Small trainings for the tests of `DivergenceGuard`: a network, data with bad batches, and all of a model's state."""

import keras
import numpy as np
from keras import layers

from onecycle.keras_support import backends

ROWS, BATCH = 256, 16
STEPS = ROWS // BATCH


def arrays():
    """Return inputs and targets of a smooth function."""
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    return x, np.tanh(x[:, :1] - x[:, 1:2])


def network(optimizer=None, *, kind=keras.Model, **compile_arguments):
    """Return a compiled network with BatchNormalization and Dropout, always with the same weights."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = layers.Dropout(0.1, seed=1)(layers.BatchNormalization()(layers.Dense(8, "tanh")(inputs)))
    model = kind(inputs, layers.Dense(1)(hidden))
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), "mse", **compile_arguments)
    return model


def state(model):
    """Return the values of all variables of the model and its optimizer, without metrics."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(backends.to_numpy(one)) for one in variables]


def assert_equal(one, other):
    """Check that two states are the same, bit for bit."""
    for value, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(value, expected)


def is_finite(model):
    """Return whether all of a model's state is finite."""
    return all(np.isfinite(value.astype("float32")).all() for value in state(model) if value.dtype.kind in "fV")


class Batches(keras.utils.PyDataset):
    """The batches of `arrays` in their order, again and again in a long epoch, some of them changed.

    Args:
        change: Called with the number of a batch, its inputs and its targets; returns the last two.
        order: The numbers of the batches. Batches whose numbers differ by `STEPS` are the same.
    """

    def __init__(self, change=lambda number, x, y: (x, y), order=range(STEPS)):
        super().__init__()
        self.change, self.order = change, order
        self.x, self.y = arrays()
        self.drawn = []

    def __len__(self):
        return len(self.order)

    def __getitem__(self, index):
        number = self.order[index]
        rows = slice(number % STEPS * BATCH, (number % STEPS + 1) * BATCH)
        self.drawn.append(number)
        return self.change(number, self.x[rows].copy(), self.y[rows].copy())
