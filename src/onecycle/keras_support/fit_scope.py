"""What a `fit` that ended by an exception left installed in a model, and how it is noticed and taken out.

Keras calls no callback when `fit` ends by an exception. But every `fit` begins with the model's
`make_train_function`, so whoever borrows a model for the length of a `fit` wraps that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onecycle.keras_support.attributes import set_quietly, unset_quietly
from onecycle.keras_support.running_fit import called_by_fit, is_fitting
from onecycle.keras_support.train_function import make_train_function_anew

_KEY = "_onecycle_left_behind"


class Borrowed:
    """A model in which something is installed until the `fit` that is running ends, however it ends.

    Args:
        model: The model.
        undo: Takes out what was installed. It is called once at most: by `give_back`, or when the next `fit` begins.
        remade: Called when the training function was made anew, by another callback, while the same `fit` runs on.
    """

    def __init__(self, model: Any, undo: Callable[[], None], remade: Callable[[], None] = lambda: None) -> None:
        self._model, self._undo, self._remade = model, undo, remade
        self._before = vars(model).get("make_train_function")
        self._original: Callable[..., Any] = model.make_train_function
        set_quietly(model, make_train_function=self._make_train_function, **{_KEY: self})

    def give_back(self) -> None:
        """Undo; once is enough, again is no error."""
        if vars(self._model).get(_KEY) is not self:
            return
        unset_quietly(self._model, _KEY, "make_train_function")
        if self._before is not None:
            set_quietly(self._model, make_train_function=self._before)
        self._undo()

    def _make_train_function(self, force: bool = False) -> Any:
        if called_by_fit(self._model) or not is_fitting(self._model):
            self.give_back()
            return self._model.make_train_function(force=force)
        if not force:
            return self._original()
        make_train_function_anew(self._model, self._original)
        self._remade()
        return self._model.train_function


def release(model: Any) -> None:
    """Take out what an earlier `fit` left behind; while the `fit` that borrowed the model runs, nothing happens."""
    borrowed: Borrowed | None = vars(model).get(_KEY)
    if borrowed is not None and not is_fitting(model):
        borrowed.give_back()
