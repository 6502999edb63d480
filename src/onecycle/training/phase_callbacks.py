"""The callbacks of a user in two calls of `fit` that are one training to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import keras

from onecycle.keras_support.attributes import AttributeOverride
from onecycle.keras_support.interrupts import finish, undo_unless_finished

T = TypeVar("T")


def with_one_training(
    callbacks: Sequence[keras.callbacks.Callback], run: Callable[[], T], *, first: bool, last: bool
) -> T:
    """Call `run`, in which a `fit` is one of several that are one training to the callbacks.

    A log file is then opened once, and trackers record one run. Callbacks of onecycle belong to each `fit`.

    Args:
        callbacks: The callbacks of the user.
        run: Calls `fit`.
        first: Whether it is the first `fit`; in the others, `on_train_begin` is not called again.
        last: Whether it is the last one; in the others, `on_train_end` is not called.
    """
    names = [] if first else ["set_model", "on_train_begin"]
    names += [] if last else ["on_train_end"]
    overrides = [
        AttributeOverride(callback, **dict.fromkeys(names, _nothing))
        for callback in callbacks
        if not type(callback).__module__.startswith("onecycle.")
    ]

    def undo() -> None:
        for override in overrides:
            override.undo()

    def quiet_run() -> T:
        for override in overrides:
            override.apply()
        return run()

    result = undo_unless_finished(quiet_run, undo)
    finish(undo)
    return result


def end_training(callbacks: Sequence[keras.callbacks.Callback], history: keras.callbacks.History) -> None:
    """Call `on_train_end` where training ended before the last `fit`."""
    logs = {name: values[-1] for name, values in history.history.items() if values}
    for callback in callbacks:
        if not type(callback).__module__.startswith("onecycle."):
            callback.on_train_end(logs)


def _nothing(*args: object, **kwargs: object) -> None:
    """Do nothing, in place of a hook."""
