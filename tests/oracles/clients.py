"""A small task, and what a training with a cycle did, for the tests of other packages."""

import keras
import numpy as np

ROWS, BATCH = 128, 32
STEPS = ROWS // BATCH  # of an epoch
X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
LABELS = (X[:, 0] + X[:, 1] > 0).astype("int32")


def build(units=2):
    """Return a small compiled classifier, with a momentum."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Recorder(keras.callbacks.Callback):
    """Appends to a list: for each `fit` a list of the learning rates of its steps.

    Copies have the same list, since packages copy callbacks.
    """

    def __init__(self, fits):
        super().__init__()
        self.fits = fits

    def __deepcopy__(self, memo):
        return Recorder(self.fits)

    def on_train_begin(self, logs=None):
        self.fits.append([])

    def on_train_batch_end(self, batch, logs=None):
        self.fits[-1].append(float(self.model.optimizer.learning_rate))
