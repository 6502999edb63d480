"""The backup of a call of `fit_one_cycle`: what it contains, when it is written, and how the run continues from it.

`RunBackup._write` lists everything that a backup contains. A callback adds its own state by the two methods of
`Resumable`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras

from onecycle.keras_support import training_data
from onecycle.keras_support.callback_list import call_last, fit_callbacks
from onecycle.keras_support.data_progress import skip_epochs
from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.fit_start import build_model
from onecycle.keras_support.optimizers import build_optimizer, elapsed_steps
from onecycle.keras_support.portable_state import (
    assign_values,
    data_values,
    foreign_values,
    set_data_values,
    set_foreign_values,
    values_of,
    variables_of,
)
from onecycle.keras_support.random_state import portable_random_states, set_portable_random_states
from onecycle.keras_support.types import Nested
from onecycle.results import codec
from onecycle.results.cycle_report import CycleReport
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.suggestions.arguments import check_path
from onecycle.training.backups.files import Backup, BackupFolder
from onecycle.training.backups.run_identity import differences, run_identity
from onecycle.training.reporting import recorded_numbers

Evidence = RangeTest | Race | Sweep


@runtime_checkable
class Resumable(Protocol):
    """A callback whose state is part of a backup, under the name of its class."""

    def backup_state(self) -> dict[str, Any]:
        """Return the state at the end of an epoch: plain values, which may be nested, and arrays of NumPy."""

    def restore_backup_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state before training begins. Tuples have become lists."""


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
    return RunBackup(folder, model, data, arguments)


class RunBackup(keras.callbacks.Callback):
    """Writes a backup at the end of each epoch, and lets the run continue from the newest one.

    Args:
        folder: The folder of the backups.
        model: The compiled model, which must be built.
        data: The arguments that hold data, by name. Their random generators are part of the state.
        arguments: The other arguments of the run, by name.

    Attributes:
        resumes: Whether the folder has a backup.
        is_finished: Whether that backup is the end of a finished run.

    Raises:
        ValueError: If the folder has the backup of another run, or no whole one.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        model: keras.Model,
        data: Mapping[str, Nested],
        arguments: Mapping[str, object],
    ) -> None:
        super().__init__()
        path = check_path("backup_dir", folder)
        if path.exists() and not path.is_dir():
            raise ValueError(f"Argument `backup_dir` must be a folder. Received: backup_dir={os.fspath(folder)!r}")
        self._folder = BackupFolder(path)
        self._owner, self._data = model, tuple(data.values())
        # There, an epoch begins where the last one ended, so the data has to be read up to that point.
        self._skips = bool(arguments.get("steps_per_epoch")) or training_data.is_one_shot(data["x"])
        self._identity = run_identity(model, data, arguments)
        self._found = self._folder.newest()
        self.resumes = self._found is not None
        self._record: dict[str, Any] = {}
        if self._found is not None:
            self._record = dict(self._found.record)
            _check_same_run(path, self._record["identity"], self._identity)
        self.is_finished = bool(self._record.get("finished"))

    @property
    def evidence(self) -> Evidence | None:
        """The result that picked the peak of the run that continues; None if its peak was given."""
        return _loaded(self._record["evidence"], self._folder.path)

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
        if self._found is None:
            build_optimizer(self._owner.optimizer, self._owner)
            self._folder.remove_drafts()
            document = None if evidence is None else codec.to_document(evidence)
            self._record = {"identity": self._identity, "evidence": document, "initial_epoch": initial_epoch}
            self._write(initial_epoch, callbacks=(), history=None)
            self._written = initial_epoch
            return initial_epoch
        self._restore()
        self._written = self._found.epoch
        for callback in callbacks:
            if isinstance(callback, Resumable) and type(callback).__name__ in self._record["callbacks"]:
                callback.restore_backup_state(self._record["callbacks"][type(callback).__name__])
        return self._found.epoch

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
        self._record |= {"finished": True, "report": document}
        self._write_or_warn(len(history.epoch) if epoch is None else epoch, callbacks=callbacks, history=history)

    def repeat_end(self) -> keras.callbacks.History:
        """Give the model the state at the end of the finished run, and return the `History` of that run.

        Warns:
            UserWarning: That nothing was trained.
        """
        self._restore()
        history = keras.callbacks.History()
        history.set_model(self._owner)
        self._fill(history)
        report = _loaded(self._record["report"], self._folder.path)
        if report is not None:
            history.onecycle = report
        self._owner.history = history
        warnings.warn(
            f"The run in {self._folder.path} is finished. The model has the weights that it ended with, and nothing "
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
            on_train_end=lambda logs: self._end_training(),
        )
        call_last(self, last)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._step_before = elapsed_steps(self.model.optimizer)

    def _begin_training(self) -> None:
        first = self._record["initial_epoch"]
        self._epoch = first if self._found is None else self._found.epoch
        if self._epoch == first:
            self._record["start"] = self._randomness()
            return
        for callback in fit_callbacks(self):
            if isinstance(callback, keras.callbacks.History):
                self._fill(callback)
        if self._skips:
            self._restore_randomness(self._record["start"])
            skip_epochs(self.model, self._epoch - first)
        self._restore_randomness(self._record)

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
            self._write(epoch, **content)
        except OSError as error:
            warnings.warn(
                f"The backup of epoch {epoch} could not be written: {error}. Training goes on. After an interruption "
                f"it continues from epoch {self._written}, the last one with a backup.",
                stacklevel=2,
            )
        else:
            self._written = epoch

    def _write(
        self, epoch: int, *, callbacks: Sequence[keras.callbacks.Callback], history: keras.callbacks.History | None
    ) -> None:
        """Write a backup. This is what it contains besides the variables and what `prepare` has put into the record."""
        self._record |= self._randomness()
        self._record["foreign"] = foreign_values(self._owner)
        self._record["epochs"] = [] if history is None else list(history.epoch)
        self._record["history"] = recorded_numbers(history)
        self._record["callbacks"] = {
            type(one).__name__: one.backup_state() for one in callbacks if isinstance(one, Resumable)
        }
        self._folder.write(Backup(epoch, self._record, values_of(variables_of(self._owner))))

    def _restore(self) -> None:
        """Give the model, the data and the random generators the state of the backup."""
        assert self._found is not None
        close_ended_fit(self._owner)
        build_optimizer(self._owner.optimizer, self._owner)
        self._folder.remove_drafts()
        try:
            assign_values(self._owner, variables_of(self._owner), self._found.arrays)
            set_foreign_values(self._owner, self._record["foreign"])
        except ValueError as error:
            raise ValueError(
                f"The backup in {self._folder.path} does not fit the model: {error}. Build the model as in the "
                "interrupted run, pass another `backup_dir`, or delete the folder to start anew."
            ) from error
        self._restore_randomness(self._record)

    def _randomness(self) -> dict[str, Any]:
        return {"random": portable_random_states(), "data": data_values(self._data)}

    def _restore_randomness(self, record: Mapping[str, Any]) -> None:
        set_data_values(self._data, record["data"])
        set_portable_random_states(record["random"])

    def _fill(self, history: keras.callbacks.History) -> None:
        """Give a `History` the epochs before the backup."""
        history.epoch = list(self._record["epochs"])
        history.history = {name: list(values) for name, values in self._record["history"].items()}


def _check_same_run(path: Path, before: Mapping[str, object], now: Mapping[str, object]) -> None:
    found = differences(before, now)
    if not found:
        return
    remedy = ""
    if any(difference.startswith("`epochs`") for difference in found):
        remedy = " To train for more epochs, let the run finish, and call `fit_one_cycle` with a folder of its own."
    raise ValueError(
        f"The folder {path} has the backup of another run: {'; '.join(found)}. Pass another `backup_dir`, or delete "
        f"the folder to start anew.{remedy}"
    )


def _loaded(document: Any, source: Path) -> Any:
    return None if document is None else codec.from_document(document, source)
