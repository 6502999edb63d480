"""What a report is made of, as plain data: sections of sentences, tables and figures. Nothing here knows HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """A table. Numbers are kept as numbers: the page rounds what it shows and keeps the whole number beside it.

    Attributes:
        caption: what the rows are, in a few words.
        headings: one for each column.
        rows: cells; the first of each row is its heading.
        folded: whether it is folded away until it is asked for, as the long table behind a picture is.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False


@dataclass(frozen=True)
class Style:
    """How a series looks: a colour by its role ("blue", see `assets/report.css`), a line and a marker.

    Attributes:
        color: the role.
        dash: "solid", "dash", "dashdot" or "dot", or None for no line.
        marker: plotly's name of the marker, or None for none.
        band: whether it is an area.
    """

    color: str
    dash: str | None = None
    marker: str | None = None
    band: bool = False


@dataclass(frozen=True)
class Toggle:
    """A checkbox of a figure: all that carries its key is drawn only while it is ticked.

    Attributes:
        key: what traces and shapes name.
        label: what the checkbox says.
        style: the look of what it stands for, so that the checkboxes are the legend; or None.
        on: whether it is ticked at first.
    """

    key: str
    label: str
    style: Style | None = None
    on: bool = True


@dataclass(frozen=True)
class View:
    """One drawing of a figure.

    Attributes:
        label: what it is called where a figure has several to choose from.
        traces: plotly traces; `meta["keys"]` are the toggles that must all be ticked. Colours are "@role" or
            "@role/opacity", settled by the theme.
        layout: what of plotly's layout is not the same in every figure. Shapes may have "keys" as well.
        logs: axes ("x", "y") that can be switched between linear and logarithmic.
    """

    label: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    logs: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """An interactive picture with its checkboxes and the table that says the same.

    Attributes:
        title: its heading.
        says: what it shows, for a caption and for those who cannot see it.
        views: at least one.
        toggles: name of a group -> its checkboxes.
        tables: the same in numbers.
        beside: a short table to stand at its side, or None.
        height: in CSS pixels.
    """

    title: str
    says: str
    views: Sequence[View]
    toggles: Mapping[str, Sequence[Toggle]] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    beside: Table | None = None
    height: int = 420


@dataclass(frozen=True)
class Section:
    """One result in the report.

    Attributes:
        kind: what sort of result it is, "Range test".
        verdict: what it says, in one plain sentence.
        details: further sentences.
        brief: the table that says most; a notebook shows this one.
        figures: the pictures.
        tables: further tables.
        settings: name -> value, how it was made.
        versions: package -> version, what made it.
        code: what repeats it, Python or shell.
        plain: text as it is, for a result that has no better section.
        peak: a learning rate for the playground to begin with, or None.
    """

    kind: str
    verdict: str
    details: Sequence[str] = ()
    brief: Table | None = None
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    code: Sequence[str] = ()
    plain: str = ""
    peak: float | None = None
