"""The records of a comparison on disk: one file a run, whole or not there; what does not belong is never used."""

from __future__ import annotations

import hashlib
import re
import warnings
from pathlib import Path

from onecycle import _json
from onecycle._comparison import RunRecord


class Store:
    """A folder of records.

    Args:
        directory: The folder; it is made where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self.problems: list[str] = []

    def path(self, arm: str, seed: int) -> Path:
        """Where the record of a run belongs."""
        return self.directory / f"{slug(arm)}_{seed}.json"

    def write(self, record: RunRecord) -> None:
        """Write a record, at once or not at all."""
        _json.save(record, self.path(record.arm, record.seed))

    def read(self, arm: str, seed: int, identity: str) -> RunRecord | None:
        """The record of this very run, or None. A file in its place that is torn or foreign is moved aside."""
        path = self.path(arm, seed)
        if not path.exists():
            return None
        try:
            record = _json.load(path)
        except ValueError as error:
            return self._reject(path, str(error))
        if not isinstance(record, RunRecord):
            return self._reject(path, f"{path} is a {type(record).__name__}, not the record of a run.")
        if (record.arm, record.seed, record.identity) != (arm, seed, identity):
            return self._reject(
                path, f"{path} was made with other settings (model, data, arm, epochs, batch size or backend)."
            )
        return record

    def set_aside(self, arm: str, seed: int, why: str) -> None:
        """Move the record of a run aside, of which more is known than its identity tells.

        Args:
            why: The rest of a sentence that begins with the file's name.
        """
        path = self.path(arm, seed)
        self._reject(path, f"{path} {why}")

    def note_strangers(self, expected: set[Path]) -> None:
        """Report the files that look like records and belong to no run of this comparison; they are left alone."""
        for path in sorted(self.directory.glob("*.json")):
            if path not in expected:
                self.problems.append(f"{path.name} belongs to no run of this comparison; it was left alone, unused.")

    def _reject(self, path: Path, reason: str) -> RunRecord | None:
        aside = path.with_name(f"{path.name}.rejected")
        number = 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.name}.rejected.{number}")
        path.rename(aside)
        # No paths: problems are part of results, which travel.
        problem = f"{reason.replace(str(path), path.name)} It was moved to {aside.name}, and its run is made again."
        self.problems.append(problem)
        warnings.warn(problem, stacklevel=5)
        return None


def slug(name: str) -> str:
    """The name as a part of a file name; names that would look alike are told apart by a few digits of their hash."""
    plain = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:60]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
