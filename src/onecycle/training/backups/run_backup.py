"""The backup of a call of `fit_one_cycle`: when it is written, and how the run continues from it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from onecycle.keras_support import training_data
from onecycle.keras_support.callback_list import call_last, fit_callbacks
from onecycle.keras_support.data_progress import skip_epochs
from onecycle.keras_support.fit_start import build_model
from onecycle.keras_support.optimizers import elapsed_steps
from onecycle.keras_support.types import Nested
from onecycle.results import codec
from onecycle.results.cycle_report import CycleReport
from onecycle.training.backups.run_state import Evidence, RunState


def open_backup(
    folder: str | os.PathLike[str] | None,
    model: keras.Model,
    data: Mapping[str, Nested],
    callbacks: Sequence[keras.callbacks.Callback],
    **arguments: object,
) -> RunBackup | None:
    """Return the backup of a run, or None without a folder. The model is built.

    Args:
        folder: The argument `backup_dir`.
        model: The compiled model.
        data: `x`, `y` and the other arguments that describe the data, by name.
        callbacks: The callbacks of the user.
        **arguments: The other arguments of the run.

    Raises:
        TypeError, ValueError: If the folder is invalid, has the backup of another run, or no whole one, or if a
            callback makes backups too.
    """
    if folder is None:
        return None
    if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
        raise ValueError(
            "Argument `backup_dir` and a BackupAndRestore among the `callbacks` would both restore the model. Keep one "
            f"of them. Received: backup_dir={os.fspath(folder)!r}"
        )
    build = ("batch_size", "sample_weight", "class_weight")
    build_model(model, data["x"], data["y"], **{name: data[name] for name in build})
    # There, an epoch begins where the last one ended, so the data has to be read up to that point.
    skips = bool(arguments.get("steps_per_epoch")) or training_data.is_one_shot(data["x"])
    return RunBackup(RunState(folder, model, data, arguments), model, skips=skips)


class RunBackup(keras.callbacks.Callback):
    """Writes a backup at the end of each epoch, and lets the run continue from the newest one.

    Args:
        state: The state of the run in its folder.
        model: The compiled model, which must be built.
        skips: Whether a run that continues reads and discards the data of the epochs before.

    Attributes:
        resumes: Whether the folder has a backup.
        is_finished: Whether that backup is the end of a finished run.
        path: The folder.
    """

    def __init__(self, state: RunState, model: keras.Model, *, skips: bool) -> None:
        super().__init__()
        self._state, self._owner, self._skips = state, model, skips
        self.path: Path = state.path
        self.resumes = state.found is not None
        self.is_finished = bool(state.record.get("finished"))

    @property
    def evidence(self) -> Evidence | None:
        """The result that picked the peak of the run that continues; None if its peak was given."""
        return self._state.evidence

    def prepare(
        self, evidence: Evidence | None, initial_epoch: int, callbacks: Sequence[keras.callbacks.Callback]
    ) -> int:
        """Restore the state of the backup, or write the first one, so that the peak is kept from now on.

        Args:
            evidence: The result that picked the peak, or None.
            initial_epoch: The first epoch of a new run.
            callbacks: All callbacks of the `fit`.

        Returns:
            The epoch with which `fit` begins.
        """
        if self._state.found is None:
            self._state.begin(evidence, initial_epoch)
            self._written = initial_epoch
        else:
            self._state.restore(callbacks)
            self._written = self._state.found.epoch
        return self._written

    def keep_end(
        self,
        history: keras.callbacks.History,
        epoch: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Write the backup of the finished run.

        Args:
            history: The `History` of the run.
            epoch: The number of finished epochs, by default those of the history.
            callbacks: All callbacks of the `fit`.
        """
        report = getattr(history, "onecycle", None)
        document = codec.to_document(report) if isinstance(report, CycleReport) else None
        self._state.record |= {"finished": True, "report": document}
        self._write_or_warn(len(history.epoch) if epoch is None else epoch, callbacks=callbacks, history=history)

    def repeat_end(self) -> keras.callbacks.History:
        """Give the model the state at the end of the finished run, and return the `History` of that run.

        Warns:
            UserWarning: That nothing was trained.
        """
        self._state.restore()
        history = keras.callbacks.History()
        history.set_model(self._owner)
        self._state.fill(history)
        report = self._state.report
        if report is not None:
            history.onecycle, history.rescues = report, report.rescues
        self._owner.history = history
        warnings.warn(
            f"The run in {self.path} is finished. The model has the weights that it ended with, and nothing "
            "was trained. Delete the folder, or pass another `backup_dir`, for a new run.",
            stacklevel=3,
        )
        return history

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        # After all others: what they draw, and what `fit` drew before, is part of the state. Keras adds its `History`
        # after the callbacks of the user.
        last = keras.callbacks.LambdaCallback(
            on_train_begin=lambda logs: self._begin_training(),
            on_epoch_end=lambda epoch, logs: self._end_epoch(epoch),
        )
        call_last(self, last)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        # Only now, so that a `DivergenceGuard`, which ends after the callbacks of the training, has reported before.
        call_last(self, keras.callbacks.LambdaCallback(on_train_end=lambda logs: self._end_training()))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._step_before = elapsed_steps(self.model.optimizer)

    def _begin_training(self) -> None:
        state = self._state
        first = state.record["initial_epoch"]
        self._epoch = first if state.found is None else state.found.epoch
        if self._epoch == first:
            state.record["start"] = state.randomness()
            return
        for callback in fit_callbacks(self):
            if isinstance(callback, keras.callbacks.History):
                state.fill(callback)
        if self._skips:
            state.restore_randomness(state.record["start"])
            skip_epochs(self.model, self._epoch - first)
        state.restore_randomness(state.record)

    def _end_epoch(self, epoch: int) -> None:
        if self._is_complete():
            self._epoch = epoch + 1
            self._write_or_warn(self._epoch, callbacks=fit_callbacks(self), history=self.model.history)

    def _end_training(self) -> None:
        callbacks = fit_callbacks(self)
        # A run that Ctrl-C ended will be continued.
        interrupted = any(getattr(callback, "interrupts_training", False) for callback in callbacks)
        if interrupted and self._epoch < self.params["epochs"]:
            return
        self.keep_end(self.model.history, self._epoch, callbacks)

    def _is_complete(self) -> bool:
        """Return whether the epoch that ends was trained to its end, as far as that is known."""
        if not self.model.stop_training:
            return True
        steps = self.params.get("steps")
        return steps is not None and elapsed_steps(self.model.optimizer) - self._step_before >= steps

    def _write_or_warn(self, epoch: int, **content: Any) -> None:
        """Write a backup. A full disk, for example, is no reason to lose the run itself."""
        try:
            self._state.write(epoch, **content)
        except OSError as error:
            warnings.warn(
                f"The backup of epoch {epoch} could not be written: {error}. Training goes on. After an interruption "
                f"it continues from epoch {self._written}, the last one with a backup.",
                stacklevel=2,
            )
        else:
            self._written = epoch
