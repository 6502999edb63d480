"""The folder of a run's backups: one file per finished epoch, of which the last two are kept.

A file is written beside its place and renamed, and begins with the digest of its content. So a process that is killed
at any moment leaves whole files, and a file that was damaged later is noticed. NumPy and the standard library only.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onecycle.results.codec import write_atomically

SUFFIX = ".onecycle-backup"
VERSION = 1  # raised when an older onecycle could misread a file
_KEPT = 2
_MAGIC = "onecycle-backup"
_RECORD = "record"  # the name of the record among the arrays of a file


@dataclass(frozen=True)
class Backup:
    """The state of a run at the end of an epoch.

    Attributes:
        epoch: The epoch with which the run continues, counted from 0.
        record: Names -> plain values, which may be nested and contain arrays of NumPy. Tuples come back as lists.
        arrays: The values of the variables.
    """

    epoch: int
    record: Mapping[str, Any]
    arrays: Sequence[NDArray[Any]]


class BackupFolder:
    """The backups in a folder. Other files in it are left alone.

    Args:
        path: The folder; it is created with the first backup.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def newest(self) -> Backup | None:
        """Return the newest whole backup, or None if the folder has no backup.

        Raises:
            ValueError: If no backup is whole, or one was written by a newer onecycle.

        Warns:
            UserWarning: If a newer backup than the one returned is damaged.
        """
        files = self._files()
        for number, file in enumerate(files):
            try:
                backup = _read(file)
            except _DamagedError as error:
                damage = f"{file} is damaged: {error}."
                continue
            if number:
                warnings.warn(f"{damage} The run continues from the backup before, {file.name}.", stacklevel=4)
            return backup
        if files:
            raise ValueError(
                f"No backup in {self.path} is whole. {damage} Delete the folder to start anew. Received: "
                f"backup_dir={str(self.path)!r}"
            )
        return None

    def whole(self) -> list[Backup]:
        """Return the backups that are whole, the newest first."""
        found = []
        for file in self._files():
            with suppress(_DamagedError):
                found.append(_read(file))
        return found

    def write(self, backup: Backup) -> None:
        """Write a backup, completely or not at all, and remove all but the two newest ones."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / f"epoch_{backup.epoch:06d}{SUFFIX}", _encoded(backup))
        _sync_folder(self.path)
        # A later epoch is that of an earlier run, or damaged.
        others = [file for file in self._files() if file.name > f"epoch_{backup.epoch:06d}{SUFFIX}"]
        for file in [*others, *[file for file in self._files() if file not in others][_KEPT:]]:
            file.unlink(missing_ok=True)

    def remove_drafts(self) -> None:
        """Remove the incomplete files of processes that were killed while they wrote them."""
        for file in self.path.glob(f".epoch_*{SUFFIX}.*.part"):
            file.unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete all backups, and the folder if nothing else is in it."""
        self.remove_drafts()
        for file in self._files():
            file.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def _files(self) -> list[Path]:
        """Return the files of the backups, the newest first."""
        return sorted(self.path.glob(f"epoch_*{SUFFIX}"), reverse=True)


class _DamagedError(ValueError):
    """A file is not the one that was written."""


def _encoded(backup: Backup) -> bytes:
    arrays: dict[str, NDArray[Any]] = {f"variable_{number}": array for number, array in enumerate(backup.arrays)}
    inside: list[NDArray[Any]] = []
    record = {"epoch": backup.epoch, "variables": len(arrays), "record": _without_arrays(backup.record, inside)}
    arrays |= {f"array_{number}": array for number, array in enumerate(inside)}
    text = json.dumps(record).encode()
    arrays[_RECORD] = np.frombuffer(text, dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the names of its other parameters are none of these
    content = buffer.getvalue()
    return f"{_MAGIC} {VERSION} {hashlib.sha256(content).hexdigest()}\n".encode() + content


def _read(file: Path) -> Backup:
    head, _, content = file.read_bytes().partition(b"\n")
    words = head.decode("ascii", errors="replace").split(" ")
    if len(words) != 3 or words[0] != _MAGIC or not words[1].isdigit():
        raise _DamagedError("it does not begin as a backup does")
    if int(words[1]) > VERSION:
        raise ValueError(f"{file} was written by a newer onecycle: upgrade onecycle.")
    if hashlib.sha256(content).hexdigest() != words[2]:
        raise _DamagedError("its content does not match its digest")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        record = json.loads(bytes(arrays[_RECORD]))
        variables = [arrays[f"variable_{number}"] for number in range(record["variables"])]
        return Backup(record["epoch"], _with_arrays(record["record"], arrays), variables)


def _without_arrays(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """Return nested plain values with the number of each array in its place, and append the arrays to a list."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {"items": {str(name): _without_arrays(item, arrays) for name, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, arrays) for item in value]
    return value


def _with_arrays(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[f"array_{value['array']}"]
    return {name: _with_arrays(item, arrays) for name, item in value["items"].items()}


def _sync_folder(path: Path) -> None:
    """Make the renaming of a file durable, where the system can."""
    with suppress(OSError):  # Windows does not open folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
