"""The report's section on a range test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from onecycle.plot.range_test_info import RangeTestPicture, SuggestionMark, range_test_picture
from onecycle.report.parts import DataTable, Figure, PlotlyObject, Section, Style, Toggle, View
from onecycle.report.traces import (
    EDGE_AXIS,
    NUMBER,
    all_positive,
    band,
    edge_marks,
    json_numbers,
    scatter,
    straight_line,
)
from onecycle.results.layer_rates import describe_layer_rates, layer_rates_argument
from onecycle.results.range_test import RangeTest

# As in `plot/range_test_draw.py`.
RULE_STYLES = {
    "one_cycle": Style("green", marker="diamond"),
    "blow_up": Style("red", marker="pentagon"),
    "minimum": Style("orange", marker="square"),
    "steepest": Style("purple", marker="triangle-up"),
    "valley": Style("blue", marker="triangle-down"),
    "slide": Style("sky", marker="cross"),
}
OTHER_STYLE = Style("ink", marker="x")
HOVER = f"rate %{{x:{NUMBER}}}<br>loss %{{y:{NUMBER}}}"
POINTS, SMOOTHED, BAND = Style("gray", marker="circle"), Style("ink", dash="solid"), Style("sky", band=True)
OUTSIDE = Style("red", marker="triangle-up")
MANY = 400  # with more points than this, points are drawn smaller


def range_test_section(result: RangeTest) -> Section:
    """Return the report's section on a range test."""
    picture = range_test_picture(result)
    rate = result.suggestion.learning_rate
    by_rule = "" if rate is None else f"{result.interval_text}, by the rule {result.rule}"
    return Section(
        title="Learning rate range test",
        verdict=f"{picture.title}{by_rule}.",
        details=(result.suggestion.reason, result.ending, *result.hints),
        main_table=_suggestions(result),
        figures=(_figure(result, picture),),
        settings=_settings(result),
        versions=result.versions,
        origin=result.origin,
        code=_code(result),
        peak=rate,
    )


def _suggestions(result: RangeTest) -> DataTable:
    first_with_reason: dict[str, str] = {}
    rows: list[tuple[str, float | None, str]] = []
    for name, suggestion in result.suggestions.items():
        # If nothing can be suggested, every rule has the same reason.
        first = first_with_reason.setdefault(suggestion.reason, name)
        rows.append((name, suggestion.learning_rate, suggestion.reason if first == name else f"as for {first}"))
    return DataTable(f"What each rule suggests; {result.rule} decides", ("rule", "learning rate", "why"), rows)


def _figure(result: RangeTest, picture: RangeTestPicture) -> Figure:
    styles = {rule: RULE_STYLES.get(rule, OTHER_STYLE) for rule in result.suggestions}
    rules = [
        Toggle(f"rule {mark.rule}", f"{mark.rule} {mark.learning_rate:.3g}", styles[mark.rule])
        for mark in picture.marks
    ]
    curves = _curve_toggles(picture)
    return Figure(
        title="Loss against learning rate",
        description=f"{len(result.learning_rates)} steps with a rising rate. {picture.title}. {picture.caption}",
        views=(View("", _traces(picture, styles), _layout(picture), _log_axes(picture)),),
        toggles={"Rules": rules, "Curves": curves} if rules else {"Curves": curves},
        tables=(_steps(result),),
        side_table=_suggestions(result),
    )


def _curve_toggles(picture: RangeTestPicture) -> list[Toggle]:
    points = "loss of each batch" if picture.band is None else "median of repeats"
    toggles = [Toggle("points", points, POINTS), Toggle("smoothed", "smoothed", SMOOTHED)]
    if picture.band is not None:
        toggles.append(Toggle("band", "all repeats", BAND))
    if picture.blow_up is not None:
        toggles.append(Toggle("blow-up", f"blow-up {picture.blow_up:.3g}", Style("red", dash="dash")))
    if picture.outside.any():
        toggles.append(Toggle("outside", "above the plot, or not a number", OUTSIDE))
    return toggles


def _traces(picture: RangeTestPicture, styles: Mapping[str, Style]) -> list[PlotlyObject]:
    rates, steps = picture.learning_rates, list(range(len(picture.learning_rates)))
    hover = f"step %{{customdata}}<br>{HOVER}"
    traces = []
    if picture.band is not None:
        traces.append(band(rates, picture.band, "sky", name="all repeats", keys=["band"]))
    size = 4 if len(rates) > MANY else 5
    traces += [
        scatter(rates, picture.points, POINTS, name="loss", keys=["points"], hover=hover, customdata=steps,
                size=size, opacity=0.7),
        scatter(rates, picture.smoothed, SMOOTHED, name="smoothed", keys=["smoothed"], hover=hover, customdata=steps),
    ]  # fmt: skip
    if picture.outside.any():
        losses = json_numbers(picture.points[picture.outside])
        labels = ["NaN or infinite" if loss is None else f"{loss:.7g}" for loss in losses]
        traces.append(edge_marks(rates[picture.outside].tolist(), OUTSIDE, key="outside", losses=labels))
    for mark in reversed(picture.marks):  # the deciding rule is drawn last, above the others
        traces += _mark(mark, styles[mark.rule])
    return traces


def _mark(mark: SuggestionMark, style: Style) -> list[PlotlyObject]:
    name = f"{mark.rule}{' (suggested)' if mark.chosen else ''}"
    x, y, keys = [mark.learning_rate], [mark.loss], [f"rule {mark.rule}"]
    drawn = scatter(x, y, style, name=name, keys=keys, hover=HOVER, size=15 if mark.chosen else 11)
    drawn["marker"] |= {"line": {"color": "@paper", "width": 1.5}}
    # plotly prefers small markers for the hover label. With this invisible one, the mark is preferred to the curve.
    interval = []
    if mark.interval is not None:
        line = replace(style, dash="solid", marker="line-ns-open")
        name = f"{name} with other seeds"
        interval = [scatter(list(mark.interval), y * 2, line, name=name, keys=keys, hover=HOVER, size=12)]
    return [*interval, drawn, scatter(x, y, style, name=name, keys=keys, hover=HOVER, size=5, opacity=0)]


def _layout(picture: RangeTestPicture) -> PlotlyObject:
    shapes = [
        straight_line("x", mark.learning_rate, "ink/0.5", keys=[f"rule {mark.rule}"], dash="solid")
        for mark in picture.marks
        if mark.chosen
    ]
    if picture.blow_up is not None:
        shapes.append(straight_line("x", picture.blow_up, "red", keys=["blow-up"]))
    scale = "log" if picture.logarithmic else "linear"
    return {
        "xaxis": {"title": "learning rate", "type": scale, "range": _rate_range(picture), "exponentformat": "power"},
        "yaxis": {"title": "loss", "range": list(picture.limits)},
        "yaxis2": EDGE_AXIS,
        "shapes": shapes,
    }


def _rate_range(picture: RangeTestPicture) -> list[float] | None:
    """Return the ends of the rate axis. With fewer than two rates it is None, and plotly chooses them."""
    if len(picture.learning_rates) < 2:
        return None
    first, last = map(float, picture.learning_rates[[0, -1]])
    if picture.logarithmic:
        pad = (last / first) ** 0.03
        return [first / pad, last * pad]
    return [first - 0.03 * (last - first), last + 0.03 * (last - first)]


def _log_axes(picture: RangeTestPicture) -> tuple[str, ...]:
    shown = [picture.points, picture.smoothed, *([] if picture.band is None else picture.band)]
    # A logarithmic axis cannot show losses of 0 and below.
    return ("x", "y") if all_positive(np.concatenate(shown)) else ("x",)


def _steps(result: RangeTest) -> DataTable:
    repeated = result.losses.ndim == 2
    losses = result.losses if repeated else result.losses[None]
    names = [f"loss {n}" for n in range(len(losses))] if repeated else ["loss"]
    columns = [result.learning_rates, *losses, result.smoothed]
    rows = [(step, *map(float, values)) for step, values in enumerate(zip(*columns, strict=True))]
    return DataTable("Every step of the range test", ("step", "learning rate", *names, "smoothed"), rows, folded=True)


def _settings(result: RangeTest) -> dict[str, object]:
    requested = "" if result.num_steps is None else f" of {result.num_steps} requested"
    settings: dict[str, object] = {"steps": f"{len(result.learning_rates)}{requested}", "spacing": result.spacing}
    settings["repeats"] = len(result.losses) if result.losses.ndim == 2 else 1
    for name in ("optimizer", "batch_size", "backend", "seed"):
        settings[name.replace("_", " ")] = getattr(result, name)
    if result.layer_rates:
        settings["factors of layers"] = describe_layer_rates(result.layer_rates)
    return settings | {"rule": result.rule}


def _code(result: RangeTest) -> tuple[str, ...]:
    """Return the call and, where the command line can do the same, the command that repeat the test."""
    arguments = _ramp_arguments(result)
    if result.backend is None:  # from a loop of the user's own
        return (_call("onecycle.results.RangeTestLoop", _with_spacing_and_rule(arguments, result)),)
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in arguments.items())
    for name in ("batch_size", "seed"):
        if getattr(result, name) is not None:
            arguments[name] = getattr(result, name)
            options += f" --{name.replace('_', '-')} {arguments[name]}"
    arguments |= {"repeats": len(result.losses)} if result.losses.ndim == 2 else {}
    arguments |= {"layer_rates": layer_rates_argument(result.layer_rates)} if result.layer_rates else {}
    call = _call("onecycle.find_learning_rate", _with_spacing_and_rule(arguments, result), "model", "x", "y")
    if result.spacing == "exponential" and result.losses.ndim == 1 and not result.layer_rates:
        return (call, f"onecycle find MODULE:FUNCTION{options}")
    return (call,)


def _call(function: str, arguments: Mapping[str, object], *first: str) -> str:
    return f"{function}({', '.join([*first, *(f'{name}={value!r}' for name, value in arguments.items())])})"


def _with_spacing_and_rule(arguments: Mapping[str, object], result: RangeTest) -> dict[str, object]:
    spacing = {"spacing": result.spacing} if result.spacing != "exponential" else {}
    return {**arguments, **spacing, "rule": result.rule}


def _ramp_arguments(result: RangeTest) -> dict[str, object]:
    """Return the arguments of the ramp. Its end is computed, since a test that stops early does not reach it."""
    rates, steps = result.learning_rates, result.num_steps
    if steps is None or len(rates) < 2:
        return {}
    first, second = float(rates[0]), float(rates[1])
    last = first + (second - first) * (steps - 1)
    if result.spacing != "linear":
        last = math.exp(math.log(first) + math.log(second / first) * (steps - 1))
    return {
        "min_learning_rate": float(f"{first:.6g}"),
        "max_learning_rate": float(f"{last:.6g}"),
        "num_steps": steps,
    }
