"""Tables in Markdown, and the places in pages where they go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def percent(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if abs(value) < 100 else "diverged" if np.isinf(value) else f"{100 * value:.0f} %"


def fill(page: Path, name: str, text: str) -> None:
    """Put the text between the marks of that name."""
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(re.escape(marks[0]) + ".*?" + re.escape(marks[1]), re.DOTALL)
    filled, found = pattern.subn(lambda _: f"{marks[0]}\n{text}{marks[1]}", page.read_text())
    if found != 1:
        raise ValueError(f"{page} has no marks {marks}")
    page.write_text(filled)
