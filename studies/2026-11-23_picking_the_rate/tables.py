"""Markdown tables, and how to insert them into pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def percent(value: float) -> str:
    """Return a fraction as a percentage, a dash for NaN, or "diverged" for infinity."""
    if np.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if abs(value) < 100 else "diverged" if np.isinf(value) else f"{100 * value:.0f} %"


def fill(page: Path, name: str, text: str) -> None:
    """Insert the text between the marks of a name in a page.

    Args:
        page: Path of the page.
        name: Name of the marks.
        text: New text.
    """
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(re.escape(marks[0]) + ".*?" + re.escape(marks[1]), re.DOTALL)
    content, count = pattern.subn(lambda _: f"{marks[0]}\n{text}{marks[1]}", page.read_text())
    if count != 1:
        raise ValueError(f"{page} must contain {marks[0]} ... {marks[1]} once.")
    page.write_text(content)
