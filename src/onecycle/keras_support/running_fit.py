"""What onecycle needs of Keras that Keras does not offer publicly, all of it in one room.

Checked on Keras 3.15.1. `tests/keras/test_keras_internals*.py` fail when one of these names changes its meaning.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any


def is_fitting(model: Any) -> bool:
    """Whether a call of the model's `fit` is running, in this thread."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False


def called_by_fit(model: Any) -> bool:
    """Whether the method that asks was called by `fit` itself, as `make_train_function` is where `fit` begins."""
    frame = sys._getframe(2)
    return frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model
