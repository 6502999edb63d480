"""The callbacks of `onecycle fit`. Imported when the command trains, since they need Keras."""

from __future__ import annotations

from collections.abc import Callable

import keras

from onecycle.cli.ctrl_c import CtrlC
from onecycle.keras_support.callback_list import other_callbacks
from onecycle.results.cycle_report import reason_of_peak
from onecycle.training.scheduler import OneCycleScheduler


class StopOnCtrlC(keras.callbacks.Callback):
    """Ends training after the batch in which Ctrl-C came, and validation too.

    Args:
        ctrl_c: The handler of Ctrl-C, which raises no KeyboardInterrupt once training has begun.

    Attributes:
        epochs: Number of finished epochs, with those of the run that is resumed.
        in_epoch: Whether training ended in the middle of an epoch.
    """

    def __init__(self, ctrl_c: CtrlC) -> None:
        super().__init__()
        self.ctrl_c = ctrl_c
        self.epochs = 0
        self.in_epoch = False
        self._validation_is_cut = False

    @property
    def interrupts_training(self) -> bool:
        """Whether Ctrl-C came, so that the backup of the run is kept for another run of the command."""
        return self.ctrl_c.received

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.ctrl_c.defer()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epochs = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.ctrl_c.received:
            self.model.stop_training = True
            steps = self.params.get("steps")
            self.in_epoch = steps is None or batch + 1 < steps

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.ctrl_c.received:
            self.model.stop_evaluating = self._validation_is_cut = True

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.ctrl_c.received:
            self.model.stop_training = True
        if self._validation_is_cut and logs is not None:
            # The values of a part of the data are not comparable with the others.
            for name in [name for name in logs if name.startswith("val_")]:
                del logs[name]
        if not self.in_epoch:
            self.epochs = epoch + 1


class PeakAnnouncement(keras.callbacks.Callback):
    """Prints the peak of the cycle and where it comes from, before training.

    Args:
        echo: Prints a line.

    Attributes:
        peak: The peak, or None before training.
        reason: Where it comes from.
    """

    def __init__(self, echo: Callable[[str], None]) -> None:
        super().__init__()
        self._echo = echo
        self.peak: float | None = None
        self.reason = "set with --max-learning-rate"

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        for callback in other_callbacks(self):
            if isinstance(callback, OneCycleScheduler):
                self.peak = callback.max_learning_rate
                self.reason = reason_of_peak(callback.evidence) or self.reason
                self._echo(f"Maximum learning rate {self.peak:.3g}: {self.reason.rstrip('.')}.")
