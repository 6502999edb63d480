"""Callbacks that cannot be used together because both set the learning rate."""

from __future__ import annotations

from collections.abc import Sequence

import keras

_KERAS_CALLBACKS = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)


def refuse_conflicting_callbacks(name: str, others: Sequence[keras.callbacks.Callback]) -> None:
    """Check that no other callback of the same `fit` sets the learning rate.

    Args:
        name: Class name of the callback that sets the learning rate.
        others: The other callbacks of the `fit`. `LearningRateScheduler` and `ReduceLROnPlateau` of Keras are refused,
            and so is a callback with a true attribute `sets_learning_rate`.

    Raises:
        ValueError: For the first such callback.
    """
    for other in others:
        if isinstance(other, _KERAS_CALLBACKS) or getattr(other, "sets_learning_rate", False):
            raise ValueError(
                f"{name} and {type(other).__name__} would both set the learning rate in one `fit`. Keep one of them."
            )
