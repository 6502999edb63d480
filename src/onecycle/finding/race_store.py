"""A race on disk: what each candidate was at its last cut, so that an interrupted race goes on from there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from onecycle.finding.race_candidates import RaceStart
from onecycle.finding.race_fits import RaceFits
from onecycle.finding.race_member import RaceMember
from onecycle.keras_support.optimizers import build_optimizer
from onecycle.keras_support.partial_fit import EpochStart, PausedFit
from onecycle.keras_support.portable_pause import PortableData, PortableRandom, PortableVariables
from onecycle.keras_support.types import Nested
from onecycle.results import codec
from onecycle.suggestions.arguments import check_path
from onecycle.training.backups.files import Backup, BackupFolder
from onecycle.training.backups.run_identity import differences, run_identity


class RaceStore:
    """The folder of a race: one folder for its start, and one for each candidate, in which the last cuts are kept.

    Args:
        folder: The argument `directory`.
        model: The compiled model.
        data: The arguments that hold data, by name.
        arguments: The other arguments, by name.

    Raises:
        ValueError: If the folder has another race.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        model: keras.Model,
        data: Mapping[str, Nested],
        arguments: Mapping[str, object],
    ) -> None:
        self._path, self._model = check_path("directory", folder), model
        if self._path.exists() and not self._path.is_dir():
            raise ValueError(f"Argument `directory` must be a folder. Received: directory={os.fspath(folder)!r}")
        self._data = (data["x"], data["validation_data"])
        self._identity = run_identity(model, data, arguments)
        self._start = BackupFolder(self._path / "start")
        self._found = self._start.newest()
        if self._found is not None:
            found = differences(self._found.record["identity"], self._identity)
            if found:
                raise ValueError(
                    f"The folder {self._path} has another race: {'; '.join(found)}. Pass another `directory`, or "
                    "delete the folder to start anew."
                )

    @property
    def start(self) -> RaceStart | None:
        """The candidates with which the race in the folder began, or None if the folder is new."""
        if self._found is None:
            return None
        record = self._found.record
        test = record["range_test"]
        return RaceStart(
            tuple(record["learning_rates"]),
            None if test is None else codec.from_document(test, self._path),  # type: ignore[arg-type]
            record["note"],
        )

    def begin(self, start: RaceStart) -> None:
        """Give the model and the random generators the state in which the race began, or save it.

        Args:
            start: The candidates.
        """
        build_optimizer(self._model.optimizer, self._model)
        if self._found is not None:
            record = self._found.record
            PortableVariables(self._model, self._found.arrays, record["foreign"], []).restore(metrics=False)
            PortableRandom(record["random"]).restore()
            return
        state = PortableVariables.now(self._model)
        record = {
            "identity": self._identity,
            "learning_rates": list(start.learning_rates),
            "range_test": None if start.range_test is None else codec.to_document(start.range_test),
            "note": start.note,
            "foreign": state.foreign,
            "random": PortableRandom.now().values,
        }
        self._start.write(Backup(0, record, state.arrays))

    def save(self, member: RaceMember, fits: RaceFits) -> None:
        """Save what a candidate is at a cut.

        Args:
            member: The candidate, which was judged there or has diverged.
            fits: What trains the candidates.
        """
        record: dict[str, Any] = {
            "steps": member.steps,
            "scores": [[cut, score] for cut, score in member.scores.items()],
            "history": member.history,
            "curve": [list(point) for point in member.curve],
            "epoch_sums": list(member.epoch_sums),
            "first_epoch": None if fits.epoch_start is None else _start_record(fits.epoch_start),
        }
        arrays: list[Any] = []
        paused = member.paused
        if paused is not None and isinstance(paused.variables, PortableVariables):
            record["pause"] = {
                "epoch": paused.epoch,
                "batches": paused.batches,
                "epoch_start": _start_record(paused.epoch_start),
                "random": _values(paused.random),
                "foreign": paused.variables.foreign,
                "metrics": paused.variables.metrics,
                "average": [member.average[0], member.average[1]],
            }
            arrays = list(paused.variables.arrays)
        self._folder(member).write(Backup(member.steps, record, arrays))

    def load(self, member: RaceMember, fits: RaceFits) -> None:
        """Give a new candidate what it was at its last cut in the folder, if it has been there.

        Args:
            member: The candidate.
            fits: What trains the candidates.
        """
        found = self._folder(member).newest()
        if found is None:
            return
        record = found.record
        member.steps = record["steps"]
        member.scores = dict(record["scores"])
        member.history = {name: list(values) for name, values in record["history"].items()}
        member.curve = [(step, loss) for step, loss in record["curve"]]
        batches, total = record["epoch_sums"]
        member.epoch_sums = (batches, total)
        if fits.epoch_start is None and record["first_epoch"] is not None:
            fits.epoch_start = self._epoch_start(record["first_epoch"])
        pause = record.get("pause")
        if pause is not None:
            step, values = pause["average"]
            member.average = (step, list(values))
            variables = PortableVariables(self._model, found.arrays, pause["foreign"], pause["metrics"])
            start = self._epoch_start(pause["epoch_start"])
            member.paused = PausedFit(
                pause["epoch"], pause["batches"], start, variables, PortableRandom(pause["random"])
            )

    def _folder(self, member: RaceMember) -> BackupFolder:
        return BackupFolder(Path(self._path) / f"peak_{member.learning_rate:.9g}")

    def _epoch_start(self, record: Mapping[str, Any]) -> EpochStart:
        return EpochStart(PortableRandom(record["random"]), PortableData(self._data, record["data"]))


def _start_record(start: EpochStart) -> dict[str, Any]:
    return {"random": _values(start.random), "data": _values(start.data)}


def _values(state: object) -> Any:
    assert isinstance(state, PortableRandom | PortableData)
    return state.values
