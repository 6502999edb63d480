"""Packed records: `boston-housing.jsonl` stands for the folder `boston-housing`, a line for each file.

A line is `{"file": "main/1cycle_0.json", "record": ...}`, where `file` is the path in the folder, and the lines are
sorted by it. `studies/pack.py` in the repository makes such files from single ones; nothing else writes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any


def documents(folder: Path, pattern: str = "*.json") -> dict[str, Any]:
    """Returns the records of a folder as plain data, by file name, sorted; single files win over packed lines.

    Args:
        folder: The folder; it need not exist where its records are packed.
        pattern: What the file names match.

    Raises:
        ValueError: If a file or a line is torn.
    """
    packed, problems = packed_lines(folder.resolve())
    if problems:
        raise ValueError(" ".join(problems))
    found = {name: line.document for name, line in packed.items() if fnmatchcase(name, pattern)}
    found |= {path.name: read_document(path) for path in folder.glob(pattern)}
    return dict(sorted(found.items()))


def packed_lines(folder: Path) -> tuple[dict[str, PackedLine], list[str]]:
    """The packed records of an absolute folder by file name, and what is wrong with its packed files."""
    found: dict[str, PackedLine] = {}
    problems: list[str] = []
    # A task's file holds its comparisons too; a file of this very folder is the nearer one.
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
        source: The record's name and that of the packed file, for messages.
        document: The record as plain data.
    """

    source: str
    document: Any


def read_packed(packed: Path) -> tuple[dict[str, Any], str]:
    """The documents of a packed file by path in the folder, and a sentence if it has lines that cannot be used."""
    found: dict[str, Any] = {}
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
    # One sentence, however many lines there are: the file may be a JSON-lines file of something else.
    which = f"Line {unusable[0]}" + (f" and {len(unusable) - 1} more" if len(unusable) > 1 else "")
    return found, f"{which} of {packed.name}: torn, repeated, or not the record of a run. Left alone, unused."


def packed_file(folder: Path) -> Path:
    """The file that stands for a folder whose records are packed."""
    return Path(f"{folder}.jsonl")


def read_document(path: Path) -> Any:
    """The plain data of a single file.

    Raises:
        ValueError: If it is torn.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not whole JSON: {error}") from error
