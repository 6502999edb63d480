"""The learning rate in Keras' progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from onecycle.hyperparameters.installation import evaluate

_HOOK = "on_train_batch_end"


class ShownRate:
    """Adds the rate of a schedule to what the progress bars of one `fit` show; without a bar nothing runs per batch.

    Args:
        callbacks: All callbacks of the `fit`.

    Attributes:
        first_step: The optimizer's step counter where the epoch began.
    """

    def __init__(self, callbacks: Sequence[Any]) -> None:
        self._bars = [one for one in callbacks if isinstance(one, keras.callbacks.ProgbarLogger) and one.verbose == 1]
        self.first_step = 0
        self.end()  # an earlier `fit` may have been ended by an exception

    def begin(self, schedule: Any) -> None:
        """Show this schedule's values from now on."""
        for bar in self._bars:
            vars(bar)[_HOOK] = self._with_rate(getattr(bar, _HOOK), schedule)

    def end(self) -> None:
        """Show what is shown without it."""
        for bar in self._bars:
            vars(bar).pop(_HOOK, None)

    def _with_rate(self, hook: Any, schedule: Any) -> Any:
        def on_train_batch_end(batch: int, logs: Any = None) -> None:
            hook(batch, {**(logs or {}), "learning_rate": evaluate(schedule, self.first_step + batch)})

        return on_train_batch_end
