"""Reports: one HTML file of any results, that opens from disk, needs no network and can be asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onecycle.results import Result

__all__ = ["write_report"]


def write_report(results: Sequence[Result], path: str | os.PathLike[str], *, sources: Sequence[str] = ()) -> None:
    """Writes one HTML file with a section for each result; an existing file is replaced at once.

    Args:
        results: the results, in order; at least one.
        path: the file to write.
        sources: the file that each result was loaded from, shown as its name; by default none.

    Raises:
        ImportError: without plotly; the message says what to install.
        ValueError: without results, or if there are sources but not one for each.
        OSError: if the file cannot be written.
    """
    from onecycle.report.page import page
    from onecycle.report.sections import section
    from onecycle.results import codec

    if not results:
        raise ValueError("A report needs at least one result. Received: results=[]")
    if sources and len(sources) != len(results):
        raise ValueError(f"Argument `sources` must name each result. Received: {len(sources)} for {len(results)}")
    codec.write_whole(Path(path), page([section(result) for result in results], sources))
