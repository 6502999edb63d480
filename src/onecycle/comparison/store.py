"""The records of a comparison on disk: one file a run, whole or not there; what does not belong is never used."""

from __future__ import annotations

import hashlib
import re
import warnings
from contextlib import suppress
from pathlib import Path

from onecycle.results import codec
from onecycle.results.runs import RunRecord


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
        """Write a record, at once or not at all; one of other settings, written meanwhile, is laid aside."""
        path = self.path(record.arm, record.seed)
        with suppress(ValueError, FileNotFoundError):
            there = codec.load(path)
            if isinstance(there, RunRecord) and there.identity != record.identity:
                path.replace(_laid_by(path, there.identity))
        codec.save(record, path)

    def read(self, arm: str, seed: int, identity: str) -> RunRecord | None:
        """The record of this very run, or None.

        A file in its place that is torn or foreign is moved aside. A record of other settings keeps their identity in
        its name, from where it comes back when these are asked for again.
        """
        path, own = self.path(arm, seed), (arm, seed, identity)
        record = self._whole(path) if path.exists() else None
        if record is not None and (record.arm, record.seed, record.identity) == own:
            return record
        if record is not None:
            why = f"{path.name} was made with other settings (model, data, arm, epochs, batch size or backend)."
            self._move(path, _laid_by(path, record.identity), why)
        return self._brought_back(path, own)

    def set_aside(self, arm: str, seed: int, why: str) -> None:
        """Move the record of a run aside, of which more is known than its identity tells.

        Args:
            why: The rest of a sentence that begins with the file's name.
        """
        path = self.path(arm, seed)
        self._move(path, _rejected(path), f"{path.name} {why}")

    def note_strangers(self, expected: set[Path]) -> None:
        """Report the files that look like records and belong to no run of this comparison; they are left alone."""
        for path in sorted(self.directory.glob("*.json")):
            if path not in expected:
                self.problems.append(f"{path.name} belongs to no run of this comparison; it was left alone, unused.")

    def _whole(self, path: Path) -> RunRecord | None:
        """The record in a file, which is moved aside if it is none."""
        try:
            record = codec.load(path)
        except FileNotFoundError:  # another comparison in this folder was faster
            return None
        except ValueError as error:
            self._move(path, _rejected(path), str(error).replace(str(path), path.name))
            return None
        if not isinstance(record, RunRecord):
            why = f"{path.name} is a {type(record).__name__}, not the record of a run."
            self._move(path, _rejected(path), why)
            return None
        return record

    def _brought_back(self, path: Path, own: tuple[str, int, str]) -> RunRecord | None:
        aside = _laid_by(path, own[2])
        record = self._whole(aside) if aside.exists() else None
        if record is None or (record.arm, record.seed, record.identity) != own:
            return None
        with suppress(FileNotFoundError):
            aside.replace(path)
        return record

    def _move(self, path: Path, aside: Path, why: str) -> None:
        with suppress(FileNotFoundError):
            path.replace(aside)
        # No paths: problems are part of results, which travel.
        problem = f"{why} It was moved to {aside.name}, and is not used."
        self.problems.append(problem)
        warnings.warn(problem, stacklevel=6)


def _laid_by(path: Path, identity: str) -> Path:
    """Where a record of other settings waits until they are asked for again."""
    # A record that somebody has edited may call itself anything.
    return path.with_name(f"{path.name}.{identity}") if identity.isalnum() else _rejected(path)


def _rejected(path: Path) -> Path:
    """A name that is free, for a file that is of no use."""
    aside, number = path.with_name(f"{path.name}.rejected"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.rejected.{number}")
    return aside


def slug(name: str) -> str:
    """The name as a part of a file name; names that would look alike are told apart by a few digits of their hash."""
    plain = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:60]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
