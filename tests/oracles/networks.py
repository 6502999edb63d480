"""A dense network small enough to differentiate by hand, in float64 with NumPy, and the same network in Keras.

Dense(8, tanh) → Dense(1) on four inputs, mean squared error. One kernel is wide (4, 8), one is tall (8, 1), and the
biases have one dimension, so every branch of Muon is tested.
"""

import numpy as np

INPUTS, UNITS, BATCH_SIZE = 4, 8, 16


def initial_weights(seed):
    """Return kernel, bias, kernel, bias: float64 numbers that float32 represents exactly."""
    rng = np.random.default_rng(seed)
    shapes = (INPUTS, UNITS), (UNITS,), (UNITS, 1), (1,)
    # The biases are not zero, so that weight decay and Lamb's ratio affect them.
    return [_exact(rng.normal(scale=0.5, size=shape)) for shape in shapes]


def batches(seed, n):
    """Return `n` fixed batches (x, y) of a noisy smooth function, exact in float32."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(INPUTS, 1))
    found = []
    for _ in range(n):
        x = _exact(rng.normal(size=(BATCH_SIZE, INPUTS)))
        y = np.sin(x @ direction) + x[:, :1] + 0.3 * rng.normal(size=(BATCH_SIZE, 1))
        found.append((x, _exact(y)))
    return found


def stacked(found):
    """Return the batches as two float32 arrays, for `fit(batch_size=BATCH_SIZE, shuffle=False)`."""
    x, y = zip(*found, strict=True)
    return np.concatenate(x).astype("float32"), np.concatenate(y).astype("float32")


def loss_and_gradients(weights, x, y):
    """Return the mean squared error on one batch and its exact gradient by each weight."""
    kernel_1, bias_1, kernel_2, bias_2 = weights
    hidden = np.tanh(x @ kernel_1 + bias_1)
    error = hidden @ kernel_2 + bias_2 - y
    loss = np.mean(error**2)
    d_output = 2 * error / error.size
    d_hidden = (d_output @ kernel_2.T) * (1 - hidden**2)
    return loss, [x.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_output, d_output.sum(axis=0)]


def train(oracle, weights, found, *, learning_rate=None, momentum=None, weight_decay=None):
    """Return the weights after one step of `oracle` per batch, and the loss before each step.

    Each hyperparameter is None (the oracle's configuration), a number, or a function of the step 0, 1, 2 …
    """
    losses = []
    for step, (x, y) in enumerate(found):
        loss, gradients = loss_and_gradients(weights, x, y)
        now = [value(step) if callable(value) else value for value in (learning_rate, momentum, weight_decay)]
        weights = oracle.step(weights, gradients, *now)
        losses.append(loss)
    return weights, np.array(losses)


def keras_model(seed):
    """Return the same network as an uncompiled Keras model with `initial_weights(seed)`."""
    import keras

    model = keras.Sequential(
        [keras.Input((INPUTS,)), keras.layers.Dense(UNITS, activation="tanh"), keras.layers.Dense(1)]
    )
    model.set_weights(initial_weights(seed))
    return model


def distance(first, second):
    """Return the largest absolute difference between two lists of weights."""
    return max(np.abs(np.asarray(a, "float64") - b).max() for a, b in zip(first, second, strict=True))


def _exact(values):
    return values.astype("float32").astype("float64")
