"""HTML from plain data. Every text from outside passes through `escape` or `data_script`."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence

from onecycle.report.parts import Cell, DataTable, Figure, Style, Toggle

MAX_ROWS = 500  # of a table on the page; a longer one shows evenly chosen rows, and its caption says so
DASHES = {"solid": "", "dash": "7 4", "dashdot": "7 3 2 3", "dot": "2 3"}
MARKERS = {
    "circle": "M17 4a4 4 0 1 1 0 8a4 4 0 1 1 0-8Z",
    "square": "M13 4h8v8h-8Z",
    "triangle-up": "M17 3l5 9h-10Z",
    "triangle-down": "M17 13l-5-9h10Z",
    "diamond": "M17 2.5l5 5.5l-5 5.5l-5-5.5Z",
    "cross": "M15.5 3.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z",
    "x": "M13 5.5L14.5 4L17 6.5L19.5 4L21 5.5L18.5 8L21 10.5L19.5 12L17 9.5L14.5 12L13 10.5L15.5 8Z",
}
BUTTONS = (
    ("in", "+", "Zoom in"),
    ("out", "−", "Zoom out"),
    ("left", "←", "Move left"),
    ("right", "→", "Move right"),
    ("reset", "Reset", "Show everything again"),
)
LOG_BUTTONS = {"x": "log horizontal", "y": "log vertical"}


def escape(text: object) -> str:
    """Return a text that HTML shows literally, between tags and in quoted attributes."""
    return html.escape(str(text), quote=True)


def data_script(name: str, data: object) -> str:
    """Return data as a JSON script element. The data can neither end the element nor start another one.

    Args:
        name: The element's id.
        data: Anything that JSON can represent.
    """
    # Outside strings these characters do not occur in JSON; inside, they can be written as escapes.
    encoded = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{escape(name)}">{encoded}</script>'


def script_text(code: str) -> str:
    """Return JavaScript, ours or plotly's, as the text of a script element."""
    # These sequences can occur in strings and regular expressions only, where the backslash has no effect.
    return code.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def table_html(table: DataTable) -> str:
    """Return a table in a box that scrolls by itself, so that a narrow page does not scroll sideways."""
    rows, note = _shown_rows(table)
    alignments = [_alignment(column, rows) for column in range(len(table.headings))]
    head = "".join(
        f'<th scope="col"{alignment}>{escape(heading)}</th>'
        for heading, alignment in zip(table.headings, alignments, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row, alignments, range(len(row))))}</tr>\n" for row in rows)
    caption = escape(table.caption + note)
    whole = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"
    box = f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}">{whole}</div>'
    if not table.folded:
        return box
    return f'<details class="numbers"><summary>Table: {caption}</summary>{box}</details>'


def format_number(value: float) -> str:
    """Return a number with six digits; NaN and infinities as text."""
    return f"{value:.6g}" if math.isfinite(value) else "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"


def figure_html(figure: Figure, name: str) -> str:
    """Return a figure: its checkboxes and buttons, an empty element for plotly, and its tables.

    Args:
        figure: The figure.
        name: Id of the element that plotly draws in.
    """
    title = f"{name}-title"
    description = escape(f"{figure.title}. {figure.description}")
    plot = (
        f'<div class="plot" id="{name}" role="img" aria-label="{description}" style="height:{figure.height}px"></div>'
    )
    note = " The tables hold the same numbers." if figure.tables else ""
    caption = f"<figcaption>{escape(figure.description)}{note}</figcaption>"
    toggles = "".join(_toggles(group, toggles, name) for group, toggles in figure.toggles.items())
    drawing = f'<div class="drawing">{toggles}{_buttons(figure, name)}{plot}{caption}</div>'
    side = "" if figure.side_table is None else f'<div class="side">{table_html(figure.side_table)}</div>'
    heading = f'<h3 id="{title}">{escape(figure.title)}</h3>{_view_choice(figure, name)}'
    tables = "".join(map(table_html, figure.tables))
    whole = f'<div class="{"pair" if side else "single"}">{drawing}{side}</div>'
    return f'<figure data-figure="{name}" aria-labelledby="{title}">{heading}{whole}{tables}</figure>'


def definition_list(items: Mapping[str, object]) -> str:
    """Return names and values as a list. Values that are mappings become lists inside it."""
    pairs = "".join(f"<div><dt>{escape(name)}</dt><dd>{_value(value)}</dd></div>" for name, value in items.items())
    return f"<dl>{pairs}</dl>"


def _value(value: object) -> str:
    if isinstance(value, Mapping) and value:
        return definition_list(value)
    if isinstance(value, float):
        return format_number(value)
    return "–" if value is None or value in ({}, [], ()) else escape(value)


def _shown_rows(table: DataTable) -> tuple[list[Sequence[Cell]], str]:
    """Return the rows to show, and a note for the caption where some are left out."""
    rows = list(table.rows)
    if len(rows) <= MAX_ROWS:
        return rows, ""
    stride = math.ceil(len(rows) / (MAX_ROWS - 1))
    chosen = rows[::stride] + ([rows[-1]] if (len(rows) - 1) % stride else [])
    return chosen, f" (one row in {stride} and the last of {len(rows)}; the saved result has all of them)"


def _cell(value: Cell, alignment: str, column: int) -> str:
    start, end = (f"<td{alignment}>", "</td>") if column else (f'<th scope="row"{alignment}>', "</th>")
    if value is None or isinstance(value, bool):
        return f"{start}{'–' if value is None else 'yes' if value else 'no'}{end}"
    if isinstance(value, int | float):
        return f'{start}<data value="{value!r}">{format_number(value)}</data>{end}'
    return f"{start}{escape(value)}{end}"


def _alignment(column: int, rows: list[Sequence[Cell]]) -> str:
    """Return the attribute that aligns a column of numbers to the right, or ""."""
    cells = [row[column] for row in rows if row[column] is not None]
    numeric = all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
    return ' class="n"' if cells and numeric else ""


def _toggles(group: str, toggles: Iterable[Toggle], name: str) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" data-key="{escape(t.key)}" aria-controls="{name}"{" checked" if t.on else ""}>'
        f"{_swatch(t.style)}<span>{escape(t.label)}</span></label>"
        for t in toggles
    )
    return f'<fieldset><legend>{escape(group)}</legend><div class="boxes">{boxes}</div></fieldset>'


def _swatch(style: Style | None) -> str:
    """Return a small drawing of a series, for the legend."""
    if style is None:
        return ""
    shapes = '<rect x="2" y="3" width="30" height="10" opacity=".3" stroke="none"/>' if style.band else ""
    if style.dash:
        shapes += f'<path d="M1 8h32" fill="none" stroke-width="2.4" stroke-dasharray="{DASHES[style.dash]}"/>'
    if style.marker:
        shapes += f'<path d="{MARKERS.get(style.marker, MARKERS["circle"])}" stroke="none"/>'
    size = 'viewBox="0 0 34 16" width="34" height="16"'
    return f'<svg class="swatch c-{style.color}" {size} aria-hidden="true">{shapes}</svg>'


def _view_choice(figure: Figure, name: str) -> str:
    if len(figure.views) < 2:
        return ""
    options = "".join(f'<option value="{n}">{escape(view.label)}</option>' for n, view in enumerate(figure.views))
    return f'<label class="choice">Measure <select data-view aria-controls="{name}">{options}</select></label>'


def _buttons(figure: Figure, name: str) -> str:
    buttons = [
        f'<button type="button" data-do="{action}" aria-label="{label}" title="{label}">{sign}</button>'
        for action, sign, label in BUTTONS
    ]
    buttons += [
        f'<button type="button" data-log="{axis}" aria-pressed="false" aria-controls="{name}">{label}</button>'
        for axis, label in LOG_BUTTONS.items()
        if any(axis in view.logs for view in figure.views)
    ]
    return f'<div class="buttons" role="group" aria-label="Zoom and scales">{"".join(buttons)}</div>'
