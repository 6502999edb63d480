"""`onecycle report`: one HTML file from saved results, without keras."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onecycle.commands.console import WrongUse

SUFFIXES = (".html", ".htm")


def report(paths: Sequence[Path], output: Path) -> list[Any]:
    """Read the results, write the report, and return the results."""
    from onecycle.report import write_report
    from onecycle.results import load

    check(paths, output)
    results = [load(path) for path in paths]
    write_report(results, output, sources=[str(path) for path in paths])
    return results


def check(paths: Sequence[Path], output: Path) -> None:
    """Fail before the work where it could not be done."""
    if find_spec("plotly") is None:
        raise WrongUse("Reports need plotly: pip install 'onecycle[report]'")
    if output.suffix.lower() not in SUFFIXES:
        # A result named by mistake must not be written over.
        raise WrongUse(f"The file for --output must end in .html. Received: {output}")
    if not output.absolute().parent.is_dir():
        raise WrongUse(f"There is no folder {output.absolute().parent} for --output: make it first.")
    for path in paths:
        if not path.is_file():
            raise WrongUse(f"There is no file {path}: name results that --save or `result.save` wrote.")


def facts(results: Sequence[Any], output: Path) -> dict[str, Any]:
    """Return what a program wants to know of the report."""
    return {
        "report": str(output),
        "bytes": output.stat().st_size,
        "results": [type(result).__name__ for result in results],
    }
