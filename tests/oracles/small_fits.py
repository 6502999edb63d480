"""The small network compiled and trained for a few steps, and optimizers that step without a model."""

import random

import keras
import numpy as np
from keras import ops

from oracles import networks


def compiled(optimizer, **arguments):
    """Return the small network compiled with the optimizer."""
    model = networks.keras_model(seed=0)
    model.compile(optimizer, "mse", **arguments)
    return model


def fit(model, steps=1, *, callbacks=None, epochs=1, validate=False):
    """Train on some of the fixed batches."""
    x, y = networks.stacked(networks.batches(seed=1, n=steps))
    model.fit(
        x,
        y,
        batch_size=networks.BATCH_SIZE,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        epochs=epochs,
        validation_data=(x, y) if validate else None,
    )


def step(optimizer, times=1):
    """Make uncompiled steps on a variable."""
    if not optimizer.built:
        optimizer.build([keras.Variable(np.ones(2), dtype="float32", name="only")])
    for _ in range(times):
        optimizer.apply([ops.ones(2)])


def read(variable):
    """Return a variable as NumPy."""
    return ops.convert_to_numpy(getattr(variable, "value", variable))


def draws():
    """Return a number from every global generator that Keras or its data pipelines draw from."""
    drawn = [random.random(), float(np.random.random())]  # noqa: NPY002 - Keras draws from it
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        drawn.append(float(tf.random.normal(())))
    if keras.backend.backend() == "torch":
        import torch

        drawn.append(float(torch.rand(())))
    return drawn
