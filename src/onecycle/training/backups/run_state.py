"""What a backup of a run contains, and how a run gets it back.

`RunState.write` lists everything that a backup contains. A callback adds its own state by the two methods of
`Resumable`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras

from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.optimizers import build_optimizer
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
from onecycle.suggestions.arguments import check_path
from onecycle.training.backups.files import Backup, BackupFolder
from onecycle.training.backups.run_identity import differences, run_identity
from onecycle.training.reporting import recorded_numbers

Evidence = RangeTest | Race


@runtime_checkable
class Resumable(Protocol):
    """A callback whose state is part of a backup, under the name of its class."""

    def backup_state(self) -> dict[str, Any]:
        """Return the state at the end of an epoch: plain values, which may be nested, and arrays of NumPy."""

    def restore_backup_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state before training begins. Tuples have become lists."""


class RunState:
    """The state of a run in a folder of backups.

    Args:
        folder: The folder.
        model: The compiled model, which must be built.
        data: The arguments that hold data, by name. Their random generators are part of the state.
        arguments: The other arguments of the run, by name.

    Attributes:
        path: The folder.
        found: The newest backup, or None.
        record: What the next backup contains besides arrays.

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
        self.path = check_path("backup_dir", folder)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"Argument `backup_dir` must be a folder. Received: backup_dir={os.fspath(folder)!r}")
        self._folder = BackupFolder(self.path)
        self._model, self._data = model, tuple(data.values())
        self._identity = run_identity(model, data, arguments)
        self.found = self._folder.newest()
        self.record: dict[str, Any] = {}
        if self.found is not None:
            self.record = dict(self.found.record)
            _check_same_run(self.path, self.record["identity"], self._identity)

    @property
    def evidence(self) -> Evidence | None:
        """The result that picked the peak of the run; None if its peak was given."""
        return loaded(self.record["evidence"], self.path)

    @property
    def report(self) -> CycleReport | None:
        """The report of the finished run, or None."""
        report: CycleReport | None = loaded(self.record["report"], self.path)
        return report

    def begin(self, evidence: Evidence | None, initial_epoch: int) -> None:
        """Write the first backup of a new run."""
        build_optimizer(self._model.optimizer, self._model)
        self._folder.remove_drafts()
        document = None if evidence is None else codec.to_document(evidence)
        self.record = {"identity": self._identity, "evidence": document, "initial_epoch": initial_epoch}
        self.write(initial_epoch, callbacks=(), history=None)

    def write(
        self, epoch: int, *, callbacks: Sequence[keras.callbacks.Callback], history: keras.callbacks.History | None
    ) -> None:
        """Write a backup: the variables, the record so far, and what belongs to the end of an epoch.

        Args:
            epoch: Number of finished epochs.
            callbacks: All callbacks of the `fit`.
            history: The `History` so far, or None before training.
        """
        self.record |= self.randomness()
        self.record["foreign"] = foreign_values(self._model)
        self.record["epochs"] = [] if history is None else list(history.epoch)
        self.record["history"] = recorded_numbers(history)
        self.record["callbacks"] = {
            type(one).__name__: one.backup_state() for one in callbacks if isinstance(one, Resumable)
        }
        self._folder.write(Backup(epoch, self.record, values_of(variables_of(self._model))))

    def restore(self, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Give the model, the data, the random generators and these callbacks the state of the backup."""
        assert self.found is not None
        close_ended_fit(self._model)
        build_optimizer(self._model.optimizer, self._model)
        self._folder.remove_drafts()
        try:
            assign_values(self._model, variables_of(self._model), self.found.arrays)
            set_foreign_values(self._model, self.record["foreign"])
        except ValueError as error:
            raise ValueError(
                f"The backup in {self.path} does not fit the model: {error}. Build the model as in the "
                "interrupted run, pass another `backup_dir`, or delete the folder to start anew."
            ) from error
        self.restore_randomness(self.record)
        for callback in callbacks:
            if isinstance(callback, Resumable) and type(callback).__name__ in self.record["callbacks"]:
                callback.restore_backup_state(self.record["callbacks"][type(callback).__name__])

    def fill(self, history: keras.callbacks.History) -> None:
        """Give a `History` the epochs before the backup."""
        history.epoch = list(self.record["epochs"])
        history.history = {name: list(values) for name, values in self.record["history"].items()}

    def randomness(self) -> dict[str, Any]:
        """Return the state of the random generators and of those of the data."""
        return {"random": portable_random_states(), "data": data_values(self._data)}

    def restore_randomness(self, record: Mapping[str, Any]) -> None:
        """Give the random generators and those of the data the state in a record."""
        set_data_values(self._data, record["data"])
        set_portable_random_states(record["random"])


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


def loaded(document: Any, source: Path) -> Any:
    """Return the result of a JSON document, or None."""
    return None if document is None else codec.from_document(document, source)
