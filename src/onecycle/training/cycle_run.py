"""One cycle inside one call of `fit`: how long it is, where it begins, putting it in and taking it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from onecycle.hyperparameters.installation import installed_state, reinstate, uninstall
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support.fit_scope import Borrowed
from onecycle.keras_support.optimizers import inner_optimizers, raw_step


class CycleRun:
    """Schedules installed for one `fit`, with a way back however it ends.

    Args:
        model: The model whose `fit` runs.
        learning_rate: The schedule of the rate.
        momentum: The schedule of the momentum, or None to leave it alone.

    Attributes:
        first_step: The optimizer's step counter when the cycle was put in.
        calls: Calls of the compiled training function, counted where updates may be skipped.
    """

    def __init__(self, model: Any, learning_rate: Any, momentum: Any) -> None:
        optimizer = model.optimizer
        self._model = model
        self._train_function = model.train_function
        self._installed_before = [(inner, installed_state(inner)) for inner in inner_optimizers(optimizer)]
        self._counts_calls = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self.first_step = raw_step(optimizer)
        self.calls = 0
        schedule_hyperparameters(model, learning_rate=learning_rate, momentum=momentum)
        self._borrowed = Borrowed(model, self._undo, self._put)
        self._put()

    def end(self) -> None:
        """Give the model its optimizer and training function back; once is enough, again is no error."""
        self._borrowed.give_back()

    def batches(self, epochs: int, per_epoch: int | None) -> int | None:
        """Batches trained on in so many epochs, skipped ones included; None where it cannot be told."""
        per_call = self._model.steps_per_execution
        if per_call == 1:
            return self.calls
        # The last call of an epoch may have had fewer batches, and that of a stopped epoch none of the rest.
        whole_epochs = per_epoch is not None and self.calls == epochs * -(-per_epoch // per_call)
        return epochs * per_epoch if per_epoch is not None and whole_epochs else None

    def _undo(self) -> None:
        for inner, before in self._installed_before:
            if uninstall(inner):  # else somebody has unscheduled everything, which stands
                reinstate(inner, before)
        # A training function that is not ours may hold the cycle: the next `fit` makes a new one.
        is_ours = self._model.train_function is self._scheduled
        self._model.train_function = self._train_function if is_ours else None

    def _put(self) -> None:
        """Have the calls of the training function counted, where that is needed to know of skipped updates."""
        if self._counts_calls:
            self._model.train_function = self._counting(self._model.train_function)
        self._scheduled = self._model.train_function

    def _counting(self, train_function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.calls += 1
            return train_function(*args)

        return counted


def count_skipped(optimizer: Any, batches: int | None, steps: int) -> int | None:
    """Updates that loss scaling skipped: batches that the step counter did not count."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return 0
    return None if batches is None else batches - steps
