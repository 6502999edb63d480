"""A race on disk: what each candidate was at its last cut, so that an interrupted race goes on from there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import keras

from onecycle.finding.race_candidates import RaceStart
from onecycle.finding.race_fits import RaceFits
from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_records import load_member, member_record
from onecycle.keras_support.optimizers import build_optimizer
from onecycle.keras_support.portable_pause import PortableRandom, PortableVariables
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
            record.get("spent_before", 0),
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
            "spent_before": start.spent_before,
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
        self._folder(member).write(member_record(member, fits))

    def load(self, member: RaceMember, fits: RaceFits) -> None:
        """Give a new candidate what it was at its last cut in the folder, if it has been there.

        Args:
            member: The candidate.
            fits: What trains the candidates.
        """
        found = self._folder(member).newest()
        if found is not None:
            load_member(member, found, fits)

    def _folder(self, member: RaceMember) -> BackupFolder:
        return BackupFolder(Path(self._path) / f"peak_{member.learning_rate:.9g}")
