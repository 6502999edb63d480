"""Traces and shapes of plotly as plain dicts. plotly itself is not imported: its JavaScript draws on the page."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TypedDict, Unpack

from onecycle.report.parts import PlotlyObject, Style

# The lists have different lengths, so no two of the first 84 arms look the same. The colors are those of Okabe & Ito.
COLORS = ("blue", "red", "green", "purple", "orange", "ink")
DASHES = ("solid", "dash", "dashdot", "dot")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
NUMBER = ".7~g"  # d3's format of numbers in hover labels: seven digits, no trailing zeros
EDGE = 0.985  # height of marks at the top edge, as a fraction of the figure
BAND_OPACITY = 0.18


class ScatterOptions(TypedDict, total=False):
    """Further attributes of plotly's scatter trace."""

    customdata: Sequence[object]
    yaxis: str


def arm_style(number: int) -> Style:
    """Return the look of the arm with a number."""
    return Style(COLORS[number % len(COLORS)], DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)])


def literal_text(text: object) -> str:
    """Return a text so that plotly, which interprets some HTML in its texts, shows it literally."""
    return html.escape(" ".join(str(text).split()), quote=False)


def json_numbers(values: Iterable[float | None]) -> list[float | int | None]:
    """Return numbers for JSON. NaN and infinities become None, which plotly leaves out."""
    return [_json_number(value) if value is not None and math.isfinite(value) else None for value in values]


def scatter(
    x: Iterable[float | None] | None,
    y: Iterable[float | None],
    style: Style,
    *,
    name: str,
    keys: Sequence[str] = (),
    hover: str | None = None,
    width: float = 2.0,
    size: float = 7.0,
    opacity: float = 1.0,
    **options: Unpack[ScatterOptions],
) -> PlotlyObject:
    """Return a trace with lines, markers or both, as its style says.

    Args:
        x: Horizontal positions. None counts from 1, which takes less space in the file than the numbers. Values that
            are not finite leave a gap.
        y: Vertical positions.
        style: Look of the trace.
        name: Name shown in the hover label. It is escaped.
        keys: Toggles that must be ticked.
        hover: plotly's hover template, or None for no hover label.
        width: Width of the line, in pixels.
        size: Size of the markers, in pixels.
        opacity: Opacity of the whole trace, 0 to 1.
        **options: Further attributes of plotly's scatter trace.
    """
    modes = [mode for mode, present in (("lines", style.dash), ("markers", style.marker)) if present]
    trace: PlotlyObject = {"type": "scatter", "mode": "+".join(modes), "y": json_numbers(y)}
    trace |= {"x0": 1, "dx": 1} if x is None else {"x": json_numbers(x)}
    trace |= {"name": literal_text(name), "meta": {"keys": list(keys)}, "opacity": opacity}
    if style.dash:
        trace["line"] = {"color": f"@{style.color}", "width": width, "dash": style.dash}
    if style.marker:
        trace["marker"] = {"color": f"@{style.color}", "size": size, "symbol": style.marker}
    trace |= {"hoverinfo": "skip"} if hover is None else {"hovertemplate": hover}
    return trace | options


def edge_marks(x: Sequence[float], style: Style, *, key: str, losses: Sequence[str] = ()) -> PlotlyObject:
    """Return a trace of marks at the top edge for points outside the figure. Its vertical axis is `EDGE_AXIS`.

    Args:
        x: Learning rates of the points.
        style: Look of the marks.
        key: Toggle that must be ticked.
        losses: Losses of the points as text for the hover labels. Without them there are no hover labels.
    """
    options: ScatterOptions = {"customdata": losses, "yaxis": "y2"} if losses else {"yaxis": "y2"}
    hover = f"rate %{{x:{NUMBER}}}<br>loss %{{customdata}}" if losses else None
    return scatter(x, [EDGE] * len(x), style, name="outside", keys=[key], hover=hover, size=7, **options)


# Does not zoom with the other axes, so the marks stay at the edge.
EDGE_AXIS = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}


def band(
    x: Iterable[float], ends: Iterable[Iterable[float]], color: str, *, name: str, keys: Sequence[str]
) -> PlotlyObject:
    """Return a trace that fills the area between two curves where both are finite.

    Args:
        x: Horizontal positions.
        ends: The two curves, (low, high).
        color: Name of the color.
        name: Name of the trace. It is escaped.
        keys: Toggles that must be ticked.
    """
    low, high = map(json_numbers, ends)
    points = [(at, a, b) for at, a, b in zip(json_numbers(x), low, high, strict=True) if None not in (a, b)]
    trace: PlotlyObject = {"type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip"}
    trace |= {"line": {"width": 0, "color": f"@{color}"}, "fillcolor": f"@{color}/{BAND_OPACITY}"}
    trace |= {"name": literal_text(name), "meta": {"keys": list(keys)}}
    # The outline of the area: along the lower curve, and back along the upper one.
    trace["x"] = [at for at, _, _ in points] + [at for at, _, _ in reversed(points)]
    trace["y"] = [a for _, a, _ in points] + [b for _, _, b in reversed(points)]
    return trace


def straight_line(axis: str, value: float, color: str, *, keys: Sequence[str] = (), dash: str = "dash") -> PlotlyObject:
    """Return a shape: a line across the whole figure at one value of an axis.

    Args:
        axis: "x" or "y".
        value: Position on the axis.
        color: Name of the color.
        keys: Toggles that must be ticked.
        dash: Dash of the line, as in `Style`.
    """
    other = "y" if axis == "x" else "x"
    ends = {f"{axis}0": value, f"{axis}1": value, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
    line = {"color": f"@{color}", "width": 1.5, "dash": dash}
    return {"type": "line", "layer": "below", "line": line, "keys": list(keys), **ends}


def shaded_range(start: float, stop: float, color: str, *, keys: Sequence[str] = ()) -> PlotlyObject:
    """Return a shape: a range of the horizontal axis shaded over the whole height of the figure.

    Args:
        start: Start of the range.
        stop: End of the range.
        color: Name of the color.
        keys: Toggles that must be ticked.
    """
    place = {"x0": start, "x1": stop, "y0": 0, "y1": 1, "yref": "paper"}
    fill = {"line": {"width": 0}, "fillcolor": f"@{color}/{BAND_OPACITY}"}
    return {"type": "rect", "layer": "below", **place, **fill, "keys": list(keys)}


def rounded(values: Iterable[float]) -> list[float]:
    """Return numbers with eight digits, one more than a hover label shows, for figures with hundreds of curves."""
    return [float(f"{value:.8g}") for value in values]


def all_positive(values: Iterable[float | None]) -> bool:
    """Return whether there are finite values and all are above 0, so that a logarithmic axis can show them."""
    finite = [value for value in json_numbers(values) if value is not None]
    return bool(finite) and min(finite) > 0


def _json_number(value: float) -> float | int:
    return value if isinstance(value, int) else float(value)
