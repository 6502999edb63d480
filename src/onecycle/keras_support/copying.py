"""Whether an object of Keras is being copied or pickled. Keras does both by saving it, with the same calls."""

from __future__ import annotations

import inspect

import keras


def is_being_copied() -> bool:
    """Return whether a model or an optimizer is being copied or pickled by a caller of this function."""
    # The method that `copy.copy`, `copy.deepcopy` and `pickle` call; models and optimizers share it.
    code = keras.Model.__reduce__.__code__
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False
