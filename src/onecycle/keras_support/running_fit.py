"""Whether a `fit` is running. Keras does not record this, so it is read from the call stack."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import keras

from onecycle.keras_support.optimizers import held_optimizers, inner_optimizers


def is_fitting(model: keras.Model) -> bool:
    """Return whether a call of the model's `fit` is running in this thread."""
    return _fits(inspect.currentframe(), model)


def is_fitting_in_any_thread(model: keras.Model) -> bool:
    """Return whether a call of the model's `fit` is running in any thread.

    A thread that only watches the training, as those of experiment trackers do, is not the one that trains.
    """
    return any(_fits(frame, model) for frame in sys._current_frames().values())


def trains(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether a `fit` of a model that holds the optimizer, or one that wraps it, is running in this thread."""
    models = [frame.f_locals["self"] for frame in fit_frames(inspect.currentframe())]
    # All that a model holds is searched last, since that takes longer.
    return any(_is_inside(optimizer, getattr(model, "optimizer", None)) for model in models) or any(
        _is_inside(optimizer, held) for model in models for held in held_optimizers(model)
    )


def initial_epoch(model: keras.Model) -> int:
    """Return the argument `initial_epoch` of the model's running `fit`."""
    found = [frame.f_locals for frame in fit_frames(inspect.currentframe()) if frame.f_locals["self"] is model]
    return next((int(names["initial_epoch"]) for names in found if "initial_epoch" in names), 0)


def fit_data(model: keras.Model) -> tuple[object, object, object] | None:
    """Return (x, y, sample_weight) of the model's running `fit`, or None."""
    found = [frame.f_locals for frame in fit_frames(inspect.currentframe()) if frame.f_locals["self"] is model]
    # The innermost call is that of Keras, whose arguments have these names.
    return next(((names["x"], names.get("y"), names.get("sample_weight")) for names in found if "x" in names), None)


def class_weight_of_fit(model: keras.Model) -> object:
    """Return the argument `class_weight` of the model's running `fit`, or None."""
    found = [frame.f_locals for frame in fit_frames(inspect.currentframe()) if frame.f_locals["self"] is model]
    return next((names["class_weight"] for names in found if "class_weight" in names), None)


def called_by_keras() -> bool:
    """Return whether the function that calls this one was called by Keras' own code."""
    # Frame 0 is this function, frame 1 the one that calls it, frame 2 its caller.
    return str(sys._getframe(2).f_globals["__name__"]).startswith("keras.")


def called_by_fit(model: keras.Model) -> bool:
    """Return whether the method that calls this function was called by `fit` itself, not by a callback.

    Keras calls `make_train_function` in this way at the beginning of each `fit`.
    """
    # Frame 0 is this function, frame 1 the method that calls it, frame 2 the caller of the method.
    frame = sys._getframe(2)
    return frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model


def _fits(frame: FrameType | None, model: keras.Model) -> bool:
    """Return whether the model's `fit` is among a frame and its callers."""
    return any(found.f_locals["self"] is model for found in fit_frames(frame))


def fit_frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield those among a frame and its callers that are calls of `fit` of a model."""
    while frame is not None:
        if frame.f_code.co_name == "fit" and isinstance(frame.f_locals.get("self"), keras.Model):
            yield frame
        frame = frame.f_back


def _is_inside(optimizer: keras.optimizers.Optimizer, outer: keras.optimizers.Optimizer | None) -> bool:
    return outer is not None and any(optimizer is inner for inner in inner_optimizers(outer))


@contextmanager
def without_data_warnings() -> Iterator[None]:
    """Ignore two warnings of `fit`: that the data ended before the last epoch, and that `shuffle` is ignored."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        warnings.filterwarnings("ignore", message="`shuffle=True` was passed, but will be ignored")
        yield
