"""Plotly's traces and shapes as plain dicts. Nothing here imports plotly: the page draws with its JavaScript."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from onecycle.report.parts import Style

# Cycles of different lengths, so that no two of the first 84 arms look the same. The colours are Okabe & Ito's.
COLORS = ("blue", "red", "green", "purple", "orange", "ink")
DASHES = ("solid", "dash", "dashdot", "dot")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
NUMBER = ".7~g"  # d3's format of a number in hover labels: seven digits, no trailing zeros


def style_of(number: int) -> Style:
    """Returns the look of the arm with this number."""
    return Style(COLORS[number % len(COLORS)], DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)])


def plain(text: object) -> str:
    """Returns text from outside so that plotly, which reads a little HTML in its texts, shows it as it is."""
    return html.escape(" ".join(str(text).split()), quote=False)


def numbers(values: Iterable[Any]) -> list[float | int | None]:
    """Returns numbers as JSON has them: None for NaN and infinities, which plotly leaves out."""
    return [_number(value) if value is not None and math.isfinite(value) else None for value in values]


def scatter(
    x: Iterable[Any] | None,
    y: Iterable[Any],
    style: Style,
    *,
    name: str,
    keys: Sequence[str] = (),
    hover: str | None = None,
    width: float = 2.0,
    size: float = 7.0,
    opacity: float = 1.0,
    **more: Any,
) -> dict[str, Any]:
    """Returns a trace of lines, markers or both, whichever its style has.

    Args:
        x, y: numbers; what is not finite leaves a gap. No `x` counts from 1, in less room than the numbers take.
        style: its look.
        name: text from outside; shown in the hover label.
        keys: toggles that must be ticked.
        hover: plotly's hover template, or None for nothing on hover.
        width: of the line.
        size: of the marker.
        opacity: of the whole trace.
        **more: anything else of plotly's scatter.
    """
    parts = [part for part, there in (("lines", style.dash), ("markers", style.marker)) if there]
    trace: dict[str, Any] = {"type": "scatter", "mode": "+".join(parts), "y": numbers(y)}
    trace |= {"x0": 1, "dx": 1} if x is None else {"x": numbers(x)}
    trace |= {"name": plain(name), "meta": {"keys": list(keys)}, "opacity": opacity}
    if style.dash:
        trace["line"] = {"color": f"@{style.color}", "width": width, "dash": style.dash}
    if style.marker:
        trace["marker"] = {"color": f"@{style.color}", "size": size, "symbol": style.marker}
    trace |= {"hoverinfo": "skip"} if hover is None else {"hovertemplate": hover}
    return trace | more


def band(x: Iterable[Any], ends: Iterable[Any], color: str, *, name: str, keys: Sequence[str]) -> dict[str, Any]:
    """Returns a trace that fills the area between two curves, (low, high), where both are finite."""
    low, high = map(numbers, ends)
    there = [(at, a, b) for at, a, b in zip(numbers(x), low, high, strict=True) if a is not None and b is not None]
    trace: dict[str, Any] = {"type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip"}
    trace |= {"line": {"width": 0, "color": f"@{color}"}, "fillcolor": f"@{color}/0.18"}
    trace |= {"name": plain(name), "meta": {"keys": list(keys)}}
    trace["x"] = [at for at, _, _ in there] + [at for at, _, _ in reversed(there)]
    trace["y"] = [a for _, a, _ in there] + [b for _, _, b in reversed(there)]
    return trace


def line_across(axis: str, value: float, color: str, *, keys: Sequence[str] = (), dash: str = "dash") -> dict[str, Any]:
    """Returns a shape: a line over the whole picture at one value of the axis "x" or "y"."""
    other = "y" if axis == "x" else "x"
    ends = {f"{axis}0": value, f"{axis}1": value, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
    line = {"color": f"@{color}", "width": 1.5, "dash": dash}
    return {"type": "line", "layer": "below", "line": line, "keys": list(keys), **ends}


def short(values: Iterable[Any]) -> list[float]:
    """Returns numbers in the eight digits that a hover label can show, for curves of which there are hundreds."""
    return [float(f"{value:.8g}") for value in values]


def positive(values: Iterable[Any]) -> bool:
    """Whether there are finite values and all are above 0, so that a logarithmic axis can show them."""
    finite = [value for value in numbers(values) if value is not None]
    return bool(finite) and min(finite) > 0


def _number(value: Any) -> float | int:
    return value if isinstance(value, int) else float(value)
