"""The result of `check`: what is wrong with a model, its data and its settings before training."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onecycle.results import codec
from onecycle.results.base import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOUND, NOTHING_FOUND = "found", "nothing found"


@codec.storable
@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        name: The kind of the fault in a few words, such as "constant features".
        description: What was found, and what it costs to ignore it, in sentences.
        remedy: What to do, in sentences.
    """

    name: str
    description: str
    remedy: str

    @property
    def text(self) -> str:
        """The description with the remedy."""
        return f"{self.description} {self.remedy}"


@codec.storable
@dataclass(frozen=True, eq=False, repr=False)
class Findings(Result):
    """What `check` found. It is iterable, has a length, and is false where nothing was found.

    Attributes:
        findings: The faults, those that end training first.
        checks: Name of each check -> "found", "nothing found", or the reason why it was not made, in the order in which
            they were made.
        versions: Package name -> version of the packages that made the checks.
        origin: Name -> text: date, model, optimizer, backend and hardware. Results are equal whatever their origin.
    """

    findings: tuple[Finding, ...]
    checks: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", tuple(self.findings))
        # Copies, so that later changes of the caller's dicts do not change the result.
        for name in ("checks", "versions", "origin"):
            object.__setattr__(self, name, dict(getattr(self, name)))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, index: int) -> Finding:
        return self.findings[index]

    @property
    def not_made(self) -> dict[str, str]:
        """Name of each check that was not made -> the reason."""
        return {name: outcome for name, outcome in self.checks.items() if outcome not in (FOUND, NOTHING_FOUND)}

    @property
    def verdict(self) -> str:
        """What was found, in one sentence."""
        made = len(self.checks) - len(self.not_made)
        if not self.findings:
            return f"Nothing was found in {made} {'check' if made == 1 else 'checks'}."
        names = ", ".join(dict.fromkeys(finding.name for finding in self.findings))
        return f"{len(self)} {'finding' if len(self) == 1 else 'findings'} in {made} checks: {names}."

    def summary(self) -> str:
        """Return the verdict, each finding with its remedy, and the checks that were not made, as text."""
        lines = [self.verdict]
        for finding in self.findings:
            lines += ["", f"{finding.name}:"]
            lines += textwrap.wrap(finding.text, 100, initial_indent="    ", subsequent_indent="    ")
        if self.not_made:
            lines += ["", *(f"Not checked: {name}, because {reason}." for name, reason in self.not_made.items())]
        return "\n".join(lines)

    def _draw(self, ax: Axes | None) -> Axes:
        from onecycle.plot import plot_findings

        return plot_findings(self, ax)

    def _headline(self) -> str:
        return ", ".join(dict.fromkeys(finding.name for finding in self.findings)) or "nothing found"
