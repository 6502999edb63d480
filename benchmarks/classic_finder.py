"""The range test as a callback, from A. Géron, *Hands-On Machine Learning*, 3rd edition, notebook of chapter 11.

The algorithm is that of the book. Only the calls that need TensorFlow are replaced by those of Keras 3.
"""

from __future__ import annotations

import math

import keras
import numpy as np


class ExponentialLearningRate(keras.callbacks.Callback):
    """Multiplies the learning rate by a factor after each batch, and records learning rates and losses."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.rates: list[float] = []
        self.losses: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.sum_of_epoch_losses = 0.0

    def on_batch_end(self, batch: int, logs: dict) -> None:
        # Keras reports the mean over the epoch so far. The loss of the batch is what it adds to the sum.
        new_sum_of_epoch_losses = logs["loss"] * (batch + 1)
        batch_loss = new_sum_of_epoch_losses - self.sum_of_epoch_losses
        self.sum_of_epoch_losses = new_sum_of_epoch_losses
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.rates.append(rate)
        self.losses.append(float(batch_loss))
        self.model.optimizer.learning_rate = rate * self.factor


def find_learning_rate(
    model: keras.Model,
    X: np.ndarray,
    y: np.ndarray,
    epochs: int = 1,
    batch_size: int = 32,
    min_rate: float = 1e-4,
    max_rate: float = 1.0,
) -> tuple[list[float], list[float]]:
    """Train while the learning rate grows from `min_rate` to `max_rate`, then restore the weights.

    Args:
        model: A compiled model.
        X: The inputs.
        y: The targets.
        epochs: Number of epochs.
        batch_size: Batch size.
        min_rate: First learning rate.
        max_rate: Last learning rate.

    Returns:
        The learning rate and the loss of each batch.
    """
    init_weights = model.get_weights()
    iterations = math.ceil(len(X) / batch_size) * epochs
    factor = math.exp(math.log(max_rate / min_rate) / iterations)
    init_lr = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    model.optimizer.learning_rate = min_rate
    exp_lr = ExponentialLearningRate(factor)
    model.fit(X, y, epochs=epochs, batch_size=batch_size, callbacks=[exp_lr], verbose=0)
    model.optimizer.learning_rate = init_lr
    model.set_weights(init_weights)
    return exp_lr.rates, exp_lr.losses
