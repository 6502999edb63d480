"""Callbacks that cannot stand beside each other: two that set the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

_OF_KERAS = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)


def refuse_rivals(callback: Any, beside: Sequence[Any]) -> None:
    """Raise if another callback of the same `fit` sets the learning rate too: one of Keras', or one that says so."""
    for other in beside:
        if other is not callback and (isinstance(other, _OF_KERAS) or getattr(other, "sets_learning_rate", False)):
            raise ValueError(
                f"{type(callback).__name__} and {type(other).__name__} would both set the learning rate in one `fit`. "
                "Keep one of them."
            )
