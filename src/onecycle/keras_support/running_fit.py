"""Whether a `fit` is running. Keras does not record this, so it is read from the call stack."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import keras


def is_fitting(model: keras.Model) -> bool:
    """Return whether a call of the model's `fit` is running in this thread."""
    return _fits(inspect.currentframe(), model)


def is_fitting_in_any_thread(model: keras.Model) -> bool:
    """Return whether a call of the model's `fit` is running in any thread.

    A thread that only watches the training, as those of experiment trackers do, is not the one that trains.
    """
    return any(_fits(frame, model) for frame in sys._current_frames().values())


def called_by_fit(model: keras.Model) -> bool:
    """Return whether the method that calls this function was called by `fit` itself, not by a callback.

    Keras calls `make_train_function` in this way at the beginning of each `fit`.
    """
    # Frame 0 is this function, frame 1 the method that calls it, frame 2 the caller of the method.
    frame = sys._getframe(2)
    return frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model


def _fits(frame: FrameType | None, model: keras.Model) -> bool:
    """Return whether the model's `fit` is among a frame and its callers."""
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False


@contextmanager
def without_data_warnings() -> Iterator[None]:
    """Ignore two warnings of `fit`: that the data ended before the last epoch, and that `shuffle` is ignored."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        warnings.filterwarnings("ignore", message="`shuffle=True` was passed, but will be ignored")
        yield
