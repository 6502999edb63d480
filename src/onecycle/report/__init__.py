"""Reports: one HTML file for one or more results. It opens from disk without a network; its figures are interactive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onecycle.results import Result

__all__ = ["write_report"]


def write_report(results: Sequence[Result], path: str | os.PathLike[str], *, sources: Sequence[str] = ()) -> None:
    """Write one HTML file with a section for each result.

    Args:
        results: The results, in order; at least one.
        path: File to write. An existing file is replaced as a whole, or left as it is after an error.
        sources: The file that each result was loaded from, for the headings. By default there are none.

    Raises:
        ImportError: If plotly is missing. The message says what to install.
        OSError: If the file cannot be written.
        ValueError: If there are no results, or not one source for each.
    """
    from onecycle.report.page import page_html
    from onecycle.report.sections import sections_of
    from onecycle.results import codec
    from onecycle.suggestions.arguments import check_path

    if not results:
        raise ValueError("A report needs at least one result. Received: results=[]")
    if sources and len(sources) != len(results):
        raise ValueError(f"Argument `sources` must name each result. Received: {len(sources)} for {len(results)}")
    named = zip(results, sources or [""] * len(results), strict=True)
    sections = [replace(section, source=source) for result, source in named for section in sections_of(result)]
    codec.write_atomically(check_path("path", path), page_html(sections, sources))
