"""Packed records: the file `boston-housing.jsonl` replaces the folder `boston-housing`, with one line per file.

A line is `{"file": "main/1cycle_0.json", "record": ...}`. `file` is the path in the folder, and the lines are sorted by
it. `studies/pack.py` in the repository packs single files; nothing else writes packed files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


def documents(folder: Path, pattern: str = "*.json") -> dict[str, object]:
    """Return the records of a folder as plain data, sorted by file name; a single file replaces a packed line.

    Args:
        folder: The folder; it need not exist if its records are packed.
        pattern: Pattern of the file names.

    Raises:
        ValueError: If a file or a line is torn.
    """
    packed, problems = packed_lines(folder.resolve())
    # An analysis must not silently leave out a record.
    if problems:
        raise ValueError(" ".join(problems))
    found = {name: line.document for name, line in packed.items() if fnmatchcase(name, pattern)}
    found |= {path.name: read_document(path) for path in folder.glob(pattern)}
    return dict(sorted(found.items()))


def packed_lines(folder: Path) -> tuple[dict[str, PackedLine], list[str]]:
    """Return the packed records of an absolute folder by file name, and a sentence for each damaged packed file."""
    found: dict[str, PackedLine] = {}
    problems: list[str] = []
    # The packed file of the parent folder may hold this folder too; this folder's own packed file comes last and wins.
    for packed, inside in ((packed_file(folder.parent), folder.name), (packed_file(folder), "")):
        entries, problem = read_packed(packed)
        problems += [problem] if problem else []
        for entry, document in entries.items():
            parent, _, name = entry.rpartition("/")
            if parent == inside:
                found[name] = PackedLine(f"{entry} in {packed.name}", document)
    return found, problems


@dataclass(frozen=True)
class PackedLine:
    """A line of a packed file.

    Attributes:
        source: The names of the record and of the packed file, for messages.
        document: The record as plain data.
    """

    source: str
    document: object


def read_packed(packed: Path) -> tuple[dict[str, object], str]:
    """Return the documents of a packed file by path, and a sentence about its unusable lines, or ""."""
    found: dict[str, object] = {}
    unusable = []
    for number, line in enumerate(packed.read_bytes().splitlines() if packed.exists() else (), start=1):
        try:
            entry = json.loads(line.decode("utf-8"))
            name, document = entry["file"], entry["record"]
        except (ValueError, KeyError, TypeError):
            name = None
        if isinstance(name, str) and name not in found:
            found[name] = document
        else:
            unusable.append(number)
    if not unusable:
        return found, ""
    # One sentence for all lines, since the file may be a JSON-lines file of something else.
    which = f"Line {unusable[0]}" + (f" and {len(unusable) - 1} more" if len(unusable) > 1 else "")
    return found, f"{which} of {packed.name}: torn, repeated, or not the record of a run. Left unchanged and not used."


def packed_file(folder: Path) -> Path:
    """Return the path of the file that replaces a folder of records."""
    return Path(f"{folder}.jsonl")


def read_document(path: Path) -> object:
    """Return the plain data of a single file.

    Raises:
        ValueError: If it is torn.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not complete JSON: {error}") from error
