"""The learning rate in Keras' progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from onecycle.keras_support.attributes import set_untracked, unset_untracked

_HOOK = "on_train_batch_end"


class ProgressBarRate:
    """Adds the learning rate to the progress bars of one `fit`. Without a bar, nothing runs per batch.

    Args:
        callbacks: All callbacks of the `fit`.

    Attributes:
        first_step: The steps that the optimizer had made at the beginning of the epoch.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        # Other settings of `verbose` show no values per batch.
        self._bars = [bar for bar in callbacks if isinstance(bar, keras.callbacks.ProgbarLogger) and bar.verbose == 1]
        self.first_step = 0
        self.end()  # an exception may have ended an earlier `fit`

    def begin(self, rate_at: Callable[[int], float]) -> None:
        """Show the learning rate of each step from now on.

        Args:
            rate_at: Returns the rate of a step.
        """
        for bar in self._bars:
            set_untracked(bar, **{_HOOK: self._with_rate(getattr(bar, _HOOK), rate_at)})

    def end(self) -> None:
        """Stop showing the learning rate."""
        for bar in self._bars:
            unset_untracked(bar, _HOOK)

    def _with_rate(self, hook: Callable[..., None], rate_at: Callable[[int], float]) -> Callable[..., None]:
        def on_train_batch_end(batch: int, logs: dict[str, float] | None = None) -> None:
            hook(batch, {**(logs or {}), "learning_rate": rate_at(self.first_step + batch)})

        return on_train_batch_end
