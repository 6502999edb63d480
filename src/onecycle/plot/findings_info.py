"""The data of the plot of findings: a list of the checks with their outcomes."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from onecycle.results.findings import FOUND, NOTHING_FOUND, Findings

WIDTH = 88  # characters of an outcome


@dataclass(frozen=True)
class CheckLine:
    """One check.

    Attributes:
        name: Its name.
        outcome: "found", "nothing found", or "not checked".
        text: The outcome in words, on one line.
    """

    name: str
    outcome: str
    text: str


@dataclass(frozen=True)
class FindingsPicture:
    """Findings, ready to draw.

    Attributes:
        lines: The checks, in their order.
        title: The verdict.
        caption: The remedy of the first finding, or "".
    """

    lines: tuple[CheckLine, ...]
    title: str
    caption: str


def findings_picture(result: Findings) -> FindingsPicture:
    """Return the data of the plot of findings."""
    # The findings are in the order of the checks that found them.
    found = iter(result.findings)
    lines = []
    for name, outcome in result.checks.items():
        if outcome == FOUND:
            finding = next(found, None)
            lines.append(CheckLine(name, FOUND, _short(FOUND if finding is None else finding.description)))
        elif outcome == NOTHING_FOUND:
            lines.append(CheckLine(name, NOTHING_FOUND, NOTHING_FOUND))
        else:
            lines.append(CheckLine(name, "not checked", _short(f"not checked: {outcome}")))
    count = len(result)
    title = "Nothing was found" if not count else f"{count} {'finding' if count == 1 else 'findings'}"
    return FindingsPicture(tuple(lines), title, " ".join(finding.remedy for finding in result.findings[:1]))


def _short(text: str) -> str:
    return textwrap.shorten(text, WIDTH, placeholder=" …")
