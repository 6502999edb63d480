"""Changes to a model that last until the running `fit` ends, even with an exception.

Keras calls no callback when `fit` ends with an exception. But every `fit` begins with a call of the model's
`make_train_function`, so a `FitScope` wraps this method and undoes a change that an earlier `fit` left behind.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from onecycle.keras_support.attributes import AttributeOverride
from onecycle.keras_support.interrupts import finish
from onecycle.keras_support.running_fit import called_by_fit, is_fitting, is_fitting_in_any_thread
from onecycle.keras_support.train_function import retrace_train_function

_KEY = "_onecycle_fit_scope"


class FitScope:
    """A change to a model that lasts until the running `fit` ends, even with an exception.

    A `fit` may have several, which are undone in the opposite order.

    Args:
        model: The model.
        undo: Undoes the change: called by `close`, or when the next `fit` begins. It must do the same when it is called
            twice, since an interrupt may end the first call.
        on_retrace: Called when another callback has had a new training function made during the same `fit`.
    """

    def __init__(
        self, model: keras.Model, undo: Callable[[], None], on_retrace: Callable[[], None] = lambda: None
    ) -> None:
        self._model, self._undo, self._on_retrace = model, undo, on_retrace
        self._make: Callable[..., object] = model.make_train_function
        self._override = AttributeOverride(model, make_train_function=self._make_train_function, **{_KEY: self})
        self._override.apply()

    def close(self) -> None:
        """Undo the change. A second call does nothing, and neither does one before a later change is undone."""
        if vars(self._model).get(_KEY) is self:
            finish(self._close)

    def _close(self) -> None:
        self._undo()
        # Last, so that the next `fit` undoes what an interrupt has left.
        self._override.undo()

    def close_if_ended(self) -> bool:
        """Undo the change if `fit` has ended, with an exception. Return whether it has ended."""
        if is_fitting_in_any_thread(self._model):
            return False
        _close_all(self._model)
        return True

    def _make_train_function(self, force: bool = False) -> object:
        # Another `fit` begins, or none is running: the `fit` of this change has ended, and of those made before it.
        if called_by_fit(self._model) or not is_fitting(self._model):
            _close_all(self._model)
            return self._model.make_train_function(force=force)
        if not force:
            return self._make()
        # Another callback asks for a new function in the middle of this `fit`.
        retrace_train_function(self._model, self._make)
        self._on_retrace()
        return self._model.train_function


def close_ended_fit(model: keras.Model) -> None:
    """Undo the changes of a `fit` that ended with an exception. While a `fit` is running, do nothing."""
    if _KEY in vars(model) and not is_fitting(model):
        _close_all(model)


def _close_all(model: keras.Model) -> None:
    """Undo all changes, the last one first."""
    while (scope := vars(model).get(_KEY)) is not None:
        scope.close()
