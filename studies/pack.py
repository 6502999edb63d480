"""Packs the records of a study into one JSON-lines file per task: python studies/pack.py STUDY_FOLDER ...

While a study runs, each run has its own file in runs/TASK/, so a crash costs one run at most. Packing turns the folder
runs/TASK/ into the file runs/TASK.jsonl, with one line per file. The scripts of the studies read both. If the packed
file exists already, the single records are merged into it and replace lines of the same name.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from onecycle.comparison.packed import packed_file, read_document, read_packed
from onecycle.results.codec import write_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY_FOLDER")
    for study in parser.parse_args().studies:
        for name, count in pack(study).items():
            print(f"{study.name}/runs/{name}.jsonl: {count} files packed")


def pack(study: Path) -> dict[str, int]:
    """Pack a study that is not running.

    Returns:
        The number of files packed by task, for the tasks that had any.

    Raises:
        ValueError: If a file or a line is torn, or a file is in no task's folder. That task is left unchanged.
    """
    runs = study / "runs"
    stray = sorted(path.name for path in runs.glob("*.json"))
    if stray:
        raise ValueError(f"A record belongs in the folder of its task, runs/TASK/. Found in runs/: {', '.join(stray)}")
    counts = {folder.name: pack_task(folder) for folder in sorted(runs.iterdir()) if folder.is_dir()}
    return {task: count for task, count in counts.items() if count}


def pack_task(folder: Path) -> int:
    """Pack the folder of a task; a file is removed only after its record was read back from the packed file."""
    packed, singles = packed_file(folder), sorted(folder.rglob("*.json"))
    records, problem = read_packed(packed)
    if singles and problem:
        raise ValueError(problem)
    records |= {path.relative_to(folder).as_posix(): read_document(path) for path in singles}
    if singles:
        write_packed(packed, records)
    for path in singles:
        path.unlink()
    remove_empty(folder)
    return len(singles)


def write_packed(packed: Path, records: dict[str, object]) -> None:
    """Write a packed file and read it back."""
    write_atomically(packed, "".join(text({"file": name, "record": records[name]}) + "\n" for name in sorted(records)))
    # Compared as text, in which 1 and 1.0, 0.0 and -0.0, and two orders of keys differ.
    found, problem = read_packed(packed)
    if problem or text(found) != text(dict(sorted(records.items()))):
        raise ValueError(f"{packed} does not hold what was written; the single files are still there.")


def text(document: object) -> str:
    """Return the document as one line of JSON."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def remove_empty(folder: Path) -> None:
    """Remove a folder and the folders in it that hold no file."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir():
            remove_empty(path)
    if not any(folder.iterdir()):
        folder.rmdir()


if __name__ == "__main__":
    main()
