"""A check of the loss of the first batch, for data that cannot be checked before training."""

from __future__ import annotations

import math
import warnings

import keras

from onecycle.keras_support import backends, step_state
from onecycle.keras_support.data_faults import first_batch_fault, has_zero_weights
from onecycle.keras_support.optimizers import skips_updates
from onecycle.keras_support.snapshot import StateSnapshot
from onecycle.keras_support.types import Nested


class FirstBatchCheck(keras.callbacks.Callback):
    """Ends training with an error if the loss of its first batch is NaN or infinite, and restores the variables.

    That loss does not depend on the learning rate, so the cause is the data or the model. It warns if the loss is zero
    because all sample weights of the batch are.

    Args:
        x: The data set, whose first batch is examined to name the fault. A generator is left alone.
    """

    def __init__(self, x: Nested) -> None:
        super().__init__()
        self._x = x
        self._done = self._checked = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        # Loss scaling skips updates with infinite gradients, and training goes on.
        if not self._done and not skips_updates(self.model.optimizer):
            self._wrap()
        self._done = True

    def _wrap(self) -> None:
        model, variables = self.model, StateSnapshot(self.model)
        compiled = model.train_function

        def checked(*args: object) -> object:
            result = compiled(*args)
            if model.train_function is checked:  # a wrapper that another callback has put around it stays
                model.train_function = compiled
            if self._checked:
                return result
            self._checked = True
            logs = result[0] if backends.is_functional() else result
            loss = float(logs.get("loss", 1.0))
            if loss == 0 and has_zero_weights(self._x):
                warnings.warn(_ZERO_WEIGHTS, stacklevel=2)
            if math.isfinite(loss):
                return result
            step_state.write_back_state(model, result)
            variables.restore()
            step_state.discard_state(model)
            raise first_batch_fault(self._x)

        model.train_function = checked


_ZERO_WEIGHTS = (
    "All sample weights of the first batch are zero, so nothing is learned from it. If that is so in every batch, the "
    "loss does not depend on the data: pass weights above 0."
)
