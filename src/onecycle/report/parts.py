"""The parts of a report as plain data: sections with sentences, tables and figures. HTML is written elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = str | int | float | bool | None

# Traces, shapes and layouts are JSON for plotly, whose values may be of any type.
PlotlyObject = dict[str, Any]


@dataclass(frozen=True)
class DataTable:
    """A table. It holds exact numbers; the page rounds what it shows and keeps the exact number in the HTML.

    Attributes:
        caption: What the rows are, in a few words.
        headings: Heading of each column.
        rows: Cells of each row. The first one is the heading of the row.
        folded: Whether the table is closed until the user opens it, as the long tables of figures are.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False


@dataclass(frozen=True)
class Style:
    """The look of a series.

    Attributes:
        color: Name of a color in `assets/report.css`, such as "blue". The theme gives its value.
        dash: "solid", "dash", "dashdot" or "dot", or None for no line.
        marker: Name of a marker in plotly, or None for none.
        band: Whether the series is an area.
    """

    color: str
    dash: str | None = None
    marker: str | None = None
    band: bool = False


@dataclass(frozen=True)
class Toggle:
    """A checkbox of a figure. Traces and shapes with its key are drawn only while it is ticked.

    Attributes:
        key: Key in traces and shapes.
        label: Label of the checkbox.
        style: Look of the series, so that the checkboxes serve as the legend, or None.
        on: Whether the checkbox is ticked at first.
    """

    key: str
    label: str
    style: Style | None = None
    on: bool = True


@dataclass(frozen=True)
class View:
    """One drawing of a figure.

    Attributes:
        label: Name of the view where a figure has several.
        traces: Traces of plotly. `meta["keys"]` are the toggles that must all be ticked. Colors are "@color" or
            "@color/opacity", with the names of `Style.color`.
        layout: What differs from the layout that all figures share. Shapes may have "keys" as well.
        logs: Axes ("x", "y") that can be switched between linear and logarithmic.
    """

    label: str
    traces: Sequence[PlotlyObject]
    layout: PlotlyObject
    logs: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """An interactive figure with its checkboxes and the tables with the same numbers.

    Attributes:
        title: Heading of the figure.
        description: What the figure shows, as its caption and for users who cannot see it.
        views: Drawings of the figure, at least one.
        toggles: Name of a group -> its checkboxes.
        tables: The numbers of the figure.
        side_table: A short table beside the figure, or None.
        height: Height in CSS pixels.
    """

    title: str
    description: str
    views: Sequence[View]
    toggles: Mapping[str, Sequence[Toggle]] = field(default_factory=dict)
    tables: Sequence[DataTable] = ()
    side_table: DataTable | None = None
    height: int = 420


@dataclass(frozen=True)
class Section:
    """One result in the report.

    Attributes:
        title: Kind of the result, for example "Range test".
        verdict: What the result says, in one sentence.
        details: More sentences.
        main_table: The most important table, which notebooks show.
        figures: Figures.
        tables: More tables.
        settings: Name -> value of the settings that produced the result.
        versions: Package name -> version of the packages that produced the result.
        origin: Name -> text of the date, the model and the machine, as far as they are known.
        code: Code that repeats the result, as Python or shell.
        text: Preformatted text, for a result whose class has no section.
        peak: Learning rate at which the playground starts, or None.
        source: File that the result was loaded from, or "".
    """

    title: str
    verdict: str
    details: Sequence[str] = ()
    main_table: DataTable | None = None
    figures: Sequence[Figure] = ()
    tables: Sequence[DataTable] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    code: Sequence[str] = ()
    text: str = ""
    peak: float | None = None
    source: str = ""

    @property
    def heading(self) -> str:
        """The title with the file that the result was loaded from."""
        return f"{self.title}, {self.source}" if self.source else self.title
