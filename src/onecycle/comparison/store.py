"""The records of a comparison on disk: one file per run, written completely or not at all.

Packed records (`packed.py`) are read as well and never changed. A file of another run is never used.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from onecycle.comparison.packed import PackedLine, packed_lines
from onecycle.results import codec
from onecycle.results.runs import RunRecord

OTHER_SETTINGS = "was made with other settings (model, data, arm, epochs, batch size or backend)."


class Store:
    """A folder of records, each a file or a packed line. A file replaces a line; a new record is always a file.

    Args:
        directory: The folder; it is created if it is missing.

    Attributes:
        problems: A sentence for each problem with the files found.

    Raises:
        OSError: If files cannot be written there.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory):
            pass  # a folder that cannot be written to would cost the first run
        self.directory = directory.resolve()
        self.problems: list[str] = []
        self._of_other_settings: list[str] | None = None

    def path(self, arm: str, seed: int) -> Path:
        """Return the path of a run's record."""
        return self.directory / f"{slug(arm)}_{seed}.json"

    def write(self, record: RunRecord) -> None:
        """Write a record, completely or not at all. A record of other settings in its place is moved aside."""
        path = self.path(record.arm, record.seed)
        # A damaged file may be overwritten.
        with suppress(ValueError, FileNotFoundError):
            existing = codec.load_object(path)
            if isinstance(existing, RunRecord) and existing.identity != record.identity:
                path.replace(_path_aside(path, existing.identity))
        codec.save_object(record, path)

    def read(self, arm: str, seed: int, identity: str) -> RunRecord | None:
        """Return the record of this run, or None.

        A torn file or the file of another run is moved aside. A record of other settings is moved to a name that holds
        its identity, and moved back when those settings are used again. A packed file is left unchanged.

        Args:
            arm: Name of the arm.
            seed: The run's seed.
            identity: Hash of the settings of the run.
        """
        path, run = self.path(arm, seed), (arm, seed, identity)
        record = self._load(path) if path.exists() else None
        if record is not None and (record.arm, record.seed, record.identity) == run:
            return record
        if record is not None:
            self._move(path, _path_aside(path, record.identity), f"{path.name} {OTHER_SETTINGS}")
        return self._restored(path, run) or self._load_packed(path.name, run)

    @contextmanager
    def one_report(self) -> Iterator[None]:
        """Report the records of other settings that are read within the context together, at its end."""
        found = self._of_other_settings = []
        try:
            yield
        finally:
            self._of_other_settings = None
        if len(found) > 1:
            self._report(
                f"{len(found)} records were made with other settings (model, data, arm, epochs, batch size or "
                "backend). They are kept for those settings, and are not used."
            )
        elif found:
            self._report(found[0])

    def copy_from(self, source: Store, arm: str, seed: int) -> None:
        """Copy the record of a run from another folder, unless this folder has one.

        Args:
            source: The other folder.
            arm: Name of the arm.
            seed: The run's seed.

        Raises:
            FileNotFoundError: If the other folder has no such record.
            ValueError: If the record is packed and damaged.
        """
        path, original = self.path(arm, seed), source.path(arm, seed)
        if path.exists() or path.name in self._packed:
            return
        line = source._packed.get(original.name)
        if line is None or original.exists():
            shutil.copyfile(original, path)
        else:
            codec.save_object(codec.from_document(line.document, line.source), path)

    def set_aside(self, arm: str, seed: int, why: str) -> None:
        """Move a record aside that cannot be used although its identity matches; a packed one stays, unused.

        Args:
            arm: Name of the arm.
            seed: The run's seed.
            why: The rest of a sentence that begins with the file's name.
        """
        path = self.path(arm, seed)
        line = None if path.exists() else self._packed.get(path.name)
        if line is None:
            self._move(path, _rejected(path), f"{path.name} {why}")
        else:
            self._report(f"{line.source} {why} It was left unchanged and not used.")

    def report_unknown_files(self, expected: set[Path]) -> None:
        """Report files and lines that look like records but belong to no run of this comparison."""
        packed = {self.directory / name: line.source for name, line in self._packed.items()}
        unknown = packed | {path: path.name for path in self.directory.glob("*.json")}
        for path in sorted(unknown.keys() - expected):
            self.problems.append(
                f"{unknown[path]} belongs to no run of this comparison; it was left unchanged and not used."
            )

    @cached_property
    def _packed(self) -> dict[str, PackedLine]:
        found, problems = packed_lines(self.directory)
        for problem in problems:
            self._report(problem)
        return found

    def _load(self, path: Path) -> RunRecord | None:
        """Return the record in a file, which is moved aside if it holds none."""
        try:
            record = codec.load_object(path)
        except FileNotFoundError:  # another comparison in this folder has moved it
            return None
        except ValueError as error:
            self._move(path, _rejected(path), str(error).replace(str(path), path.name))
            return None
        if not isinstance(record, RunRecord):
            why = f"{path.name} is a {type(record).__name__}, not the record of a run."
            self._move(path, _rejected(path), why)
            return None
        return record

    def _restored(self, path: Path, run: tuple[str, int, str]) -> RunRecord | None:
        aside = _path_aside(path, run[2])
        record = self._load(aside) if aside.exists() else None
        if record is None or (record.arm, record.seed, record.identity) != run:
            return None
        with suppress(FileNotFoundError):
            aside.replace(path)
        return record

    def _load_packed(self, name: str, run: tuple[str, int, str]) -> RunRecord | None:
        """Return the packed record of this run, or None."""
        line = self._packed.get(name)
        if line is None:
            return None
        try:
            record = codec.from_document(line.document, line.source)
        except ValueError as error:
            self._report(f"{str(error).rstrip('.')}. It was left unchanged and not used.")
            return None
        if not isinstance(record, RunRecord):
            why = f"is a {type(record).__name__}, not the record of a run."
        elif (record.arm, record.seed, record.identity) != run:
            why = OTHER_SETTINGS
        else:
            return record
        self._report(f"{line.source} {why} It was left unchanged and not used.")
        return None

    def _move(self, path: Path, aside: Path, why: str) -> None:
        with suppress(FileNotFoundError):
            path.replace(aside)
        self._report(f"{why} It was moved to {aside.name}, and is not used.")

    def _report(self, problem: str) -> None:
        if self._of_other_settings is not None and OTHER_SETTINGS in problem:
            self._of_other_settings.append(problem)
            return
        # No paths: problems are part of results, which are shared.
        self.problems.append(problem)
        warnings.warn(problem, stacklevel=8)


def _path_aside(path: Path, identity: str) -> Path:
    """Return where a record of other settings is kept until those are used again."""
    # The identity in a file that was edited can be any text.
    return path.with_name(f"{path.name}.{identity}") if identity.isalnum() else _rejected(path)


def _rejected(path: Path) -> Path:
    """Return a free name for an unusable file."""
    aside, number = path.with_name(f"{path.name}.rejected"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.rejected.{number}")
    return aside


def slug(name: str) -> str:
    """Return an arm's name as part of a file name, with digits of its hash where other names could give the same."""
    plain = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:60]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
