"""Whether a `fit` is running, which Keras records nowhere. The answer is read from the call stack."""

from __future__ import annotations

import inspect
import sys

import keras


def is_fitting(model: keras.Model) -> bool:
    """Return whether a call of the model's `fit` is running in this thread."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False


def called_by_fit(model: keras.Model) -> bool:
    """Return whether the method that calls this function was called by `fit` itself, not by a callback.

    Keras calls `make_train_function` so at the beginning of each `fit`.
    """
    frame = sys._getframe(2)
    return frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model
