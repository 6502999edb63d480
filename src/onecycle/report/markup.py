"""HTML out of plain data. All text from outside goes through `text` or `data_script`, and there is no other way."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from onecycle.report.parts import Cell, Figure, Style, Table, Toggle

MOST_ROWS = 500  # of a table on the page; beyond, evenly chosen ones are shown, and the caption says so
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


def text(value: object) -> str:
    """Returns text from outside so that HTML shows it and never reads it, between tags and in quoted attributes."""
    return html.escape(str(value), quote=True)


def data_script(name: str, data: Any) -> str:
    """Returns data as a JSON script element: nothing in it can end the element or begin another."""
    told = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        told = told.replace(letter, f"\\u{ord(letter):04x}")
    return f'<script type="application/json" id="{text(name)}">{told}</script>'


def program(code: str) -> str:
    """Returns JavaScript of our own or of plotly's as the text of a script element."""
    # In strings and patterns, where alone these can stand, the backslash changes nothing.
    return code.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def table(content: Table) -> str:
    """Returns a table in a box that scrolls by itself, so that a narrow page does not."""
    rows, note = _chosen(content)
    head = "".join(f'<th scope="col"{_side(n, rows)}>{text(h)}</th>' for n, h in enumerate(content.headings))
    sides = [_side(n, rows) for n in range(len(content.headings))]
    body = "".join(f"<tr>{''.join(map(_cell, row, sides, range(len(row))))}</tr>\n" for row in rows)
    caption = text(content.caption + note)
    whole = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"
    box = f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}">{whole}</div>'
    if not content.folded:
        return box
    return f'<details class="numbers"><summary>Table: {caption}</summary>{box}</details>'


def number(value: float) -> str:
    """Returns a number as it is shown: six digits; NaN and infinities in words."""
    return f"{value:.6g}" if math.isfinite(value) else "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"


def figure(content: Figure, name: str) -> str:
    """Returns a figure: its checkboxes, buttons, an empty place for plotly, and its tables."""
    title = f"{name}-title"
    parts = [f'<h3 id="{title}">{text(content.title)}</h3>', _choice(content, name)]
    plot = f'<div class="plot" id="{name}" role="img" aria-label="{text(f"{content.title}. {content.says}")}"'
    plot += f' style="height:{content.height}px"></div>'
    caption = f"<figcaption>{text(content.says)} The tables hold the same numbers.</figcaption>"
    drawn = "".join(_toggles(group, toggles, name) for group, toggles in content.toggles.items())
    picture = f'<div class="picture">{drawn}{_buttons(content, name)}{plot}{caption}</div>'
    beside = "" if content.beside is None else f'<div class="beside">{table(content.beside)}</div>'
    parts.append(f'<div class="{"pair" if beside else "single"}">{picture}{beside}</div>')
    parts += [table(each) for each in content.tables]
    return f'<figure data-figure="{name}" aria-labelledby="{title}">{"".join(parts)}</figure>'


def definitions(items: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    """Returns names and values as a list; values that hold others become lists in it."""
    pairs = items.items() if isinstance(items, Mapping) else items
    told = "".join(f"<div><dt>{text(name)}</dt><dd>{_value(value)}</dd></div>" for name, value in pairs)
    return f"<dl>{told}</dl>"


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        return definitions(value)
    if isinstance(value, float):
        return number(value)
    return "–" if value is None or value in ({}, [], ()) else text(value)


def _chosen(content: Table) -> tuple[list[Any], str]:
    rows = list(content.rows)
    if len(rows) <= MOST_ROWS:
        return rows, ""
    stride = math.ceil(len(rows) / (MOST_ROWS - 1))
    chosen = rows[::stride] + ([rows[-1]] if (len(rows) - 1) % stride else [])
    return chosen, f" (each {stride}th row and the last of {len(rows)}; the saved result has them all)"


def _cell(value: Cell, side: str, column: int) -> str:
    start, end = (f"<td{side}>", "</td>") if column else (f'<th scope="row"{side}>', "</th>")
    if value is None or isinstance(value, bool):
        return f"{start}{'–' if value is None else 'yes' if value else 'no'}{end}"
    if isinstance(value, int | float):
        return f'{start}<data value="{value!r}">{number(value)}</data>{end}'
    return f"{start}{text(value)}{end}"


def _side(column: int, rows: list[Any]) -> str:
    numeric = any(isinstance(row[column], int | float) and not isinstance(row[column], bool) for row in rows)
    return ' class="n"' if numeric else ""


def _toggles(group: str, toggles: Iterable[Toggle], name: str) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" data-key="{text(t.key)}" aria-controls="{name}"{" checked" if t.on else ""}>'
        f"{_swatch(t.style)}<span>{text(t.label)}</span></label>"
        for t in toggles
    )
    return f'<fieldset><legend>{text(group)}</legend><div class="boxes">{boxes}</div></fieldset>'


def _swatch(style: Style | None) -> str:
    if style is None:
        return ""
    drawn = '<rect x="2" y="3" width="30" height="10" opacity=".3" stroke="none"/>' if style.band else ""
    if style.dash:
        drawn += f'<path d="M1 8h32" fill="none" stroke-width="2.4" stroke-dasharray="{DASHES[style.dash]}"/>'
    if style.marker:
        drawn += f'<path d="{MARKERS.get(style.marker, MARKERS["circle"])}" stroke="none"/>'
    size = 'viewBox="0 0 34 16" width="34" height="16"'
    return f'<svg class="swatch c-{style.color}" {size} aria-hidden="true">{drawn}</svg>'


def _choice(content: Figure, name: str) -> str:
    if len(content.views) < 2:
        return ""
    options = "".join(f'<option value="{n}">{text(view.label)}</option>' for n, view in enumerate(content.views))
    return f'<label class="choice">Measure <select data-view aria-controls="{name}">{options}</select></label>'


def _buttons(content: Figure, name: str) -> str:
    made = [
        f'<button type="button" data-do="{do}" aria-label="{told}" title="{told}">{sign}</button>'
        for do, sign, told in (
            ("in", "+", "Zoom in"), ("out", "−", "Zoom out"), ("left", "←", "Move left"), ("right", "→", "Move right"),
            ("reset", "Reset", "Show everything again"),
        )
    ]  # fmt: skip
    axes = [axis for axis in ("x", "y") if any(axis in view.logs for view in content.views)]
    words = {"x": "log horizontal", "y": "log vertical"}
    made += [
        f'<button type="button" data-log="{axis}" aria-pressed="false" aria-controls="{name}">{words[axis]}</button>'
        for axis in axes
    ]
    return f'<div class="buttons" role="group" aria-label="Zoom and scales">{"".join(made)}</div>'
