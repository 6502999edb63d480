"""The records of a comparison on disk: one file a run, whole or not there; what does not belong is never used.

Packed records (`packed.py`) are read as well, and never changed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import warnings
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from onecycle.comparison.packed import PackedLine, packed_lines
from onecycle.results import codec
from onecycle.results.runs import RunRecord

OTHER_SETTINGS = "was made with other settings (model, data, arm, epochs, batch size or backend)."


class Store:
    """A folder of records, each a file or a packed line. A file wins over a line, and a new record is always a file.

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
        its name, from where it comes back when these are asked for again. A packed file is left as it is.
        """
        path, own = self.path(arm, seed), (arm, seed, identity)
        record = self._whole(path) if path.exists() else None
        if record is not None and (record.arm, record.seed, record.identity) == own:
            return record
        if record is not None:
            self._move(path, _laid_by(path, record.identity), f"{path.name} {OTHER_SETTINGS}")
        return self._brought_back(path, own) or self._unpacked(path.name, own)

    def borrow(self, lender: Store, arm: str, seed: int) -> None:
        """Copy the record of a run from another folder, unless this one has its own.

        Raises:
            FileNotFoundError: If the other folder has no such record.
            ValueError: If it is packed and damaged.
        """
        path, there = self.path(arm, seed), lender.path(arm, seed)
        if path.exists() or path.name in self._packed:
            return
        line = lender._packed.get(there.name)
        if line is None or there.exists():
            shutil.copyfile(there, path)
        else:
            codec.save(codec.from_document(line.document, line.source), path)

    def set_aside(self, arm: str, seed: int, why: str) -> None:
        """Move the record of a run aside, of which more is known than its identity tells; a packed one stays, unused.

        Args:
            why: The rest of a sentence that begins with the file's name.
        """
        path = self.path(arm, seed)
        line = None if path.exists() else self._packed.get(path.name)
        if line is None:
            self._move(path, _rejected(path), f"{path.name} {why}")
        else:
            self._report(f"{line.source} {why} It was left alone, unused.")

    def note_strangers(self, expected: set[Path]) -> None:
        """Report the files and lines that look like records and belong to no run of this comparison."""
        packed = {self.directory / name: line.source for name, line in self._packed.items()}
        strangers = packed | {path: path.name for path in self.directory.glob("*.json")}
        for path in sorted(strangers.keys() - expected):
            self.problems.append(f"{strangers[path]} belongs to no run of this comparison; it was left alone, unused.")

    @cached_property
    def _packed(self) -> dict[str, PackedLine]:
        found, problems = packed_lines(self.directory)
        for problem in problems:
            self._report(problem)
        return found

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

    def _unpacked(self, name: str, own: tuple[str, int, str]) -> RunRecord | None:
        """The packed record of this very run, or None."""
        line = self._packed.get(name)
        if line is None:
            return None
        try:
            record = codec.from_document(line.document, line.source)
        except ValueError as error:
            self._report(f"{str(error).rstrip('.')}. It was left alone, unused.")
            return None
        if not isinstance(record, RunRecord):
            why = f"is a {type(record).__name__}, not the record of a run."
        elif (record.arm, record.seed, record.identity) != own:
            why = OTHER_SETTINGS
        else:
            return record
        self._report(f"{line.source} {why} It was left alone, unused.")
        return None

    def _move(self, path: Path, aside: Path, why: str) -> None:
        with suppress(FileNotFoundError):
            path.replace(aside)
        self._report(f"{why} It was moved to {aside.name}, and is not used.")

    def _report(self, problem: str) -> None:
        # No paths: problems are part of results, which travel.
        self.problems.append(problem)
        warnings.warn(problem, stacklevel=7)


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
