"""The report's section on a range test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onecycle.plot.info import Mark, RangeTestPicture, range_test_picture
from onecycle.report.parts import Figure, Section, Style, Table, Toggle, View
from onecycle.report.traces import NUMBER, band, line_across, numbers, positive, scatter
from onecycle.results.range_test import RangeTest

# As in `plot/draw.py`.
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
POINTS, SMOOTHED, BAND = Style("grey", marker="circle"), Style("ink", dash="solid"), Style("sky", band=True)


def range_test_section(result: RangeTest) -> Section:
    """Returns what the report says of a range test."""
    picture = range_test_picture(result)
    rate = result.suggestion.learning_rate
    return Section(
        kind="Learning rate range test",
        verdict=f"{picture.title}, by the rule {result.rule}." if rate is not None else f"{picture.title}.",
        details=(result.suggestion.reason, result.ending),
        brief=_suggestions(result),
        figures=(_figure(result, picture),),
        settings=_settings(result),
        versions=result.versions,
        code=_code(result),
        peak=rate,
    )


def _suggestions(result: RangeTest) -> Table:
    told: dict[str, str] = {}
    rows: list[tuple[str, float | None, str]] = []
    for name, suggestion in result.suggestions.items():
        # Where nothing can be suggested every rule gives the same reason.
        first = told.setdefault(suggestion.reason, name)
        rows.append((name, suggestion.learning_rate, suggestion.reason if first == name else f"as for {first}"))
    return Table(f"What each rule suggests; {result.rule} decides", ("rule", "learning rate", "why"), rows)


def _figure(result: RangeTest, picture: RangeTestPicture) -> Figure:
    styles = {rule: RULE_STYLES.get(rule, OTHER_STYLE) for rule in result.suggestions}
    rules = [
        Toggle(f"rule {mark.rule}", f"{mark.rule} {mark.learning_rate:.3g}", styles[mark.rule])
        for mark in picture.marks
    ]
    points = "loss of each batch" if picture.band is None else "median of repeats"
    curves = [Toggle("points", points, POINTS), Toggle("smoothed", "smoothed", SMOOTHED)]
    curves += [Toggle("band", "all repeats", BAND)] if picture.band is not None else []
    if picture.blow_up is not None:
        curves.append(Toggle("blow-up", f"blow-up {picture.blow_up:.3g}", Style("red", dash="dash")))
    if _leaving(result, picture).any():
        curves.append(Toggle("leaving", "above the picture, or not a number", Style("red", marker="triangle-up")))
    return Figure(
        title="Loss against learning rate",
        says=f"{len(result.learning_rates)} steps with a rising rate. {picture.title}. {picture.caption}",
        views=(View("", _traces(result, picture, styles), _layout(picture), _logs(picture)),),
        toggles={"Rules": rules, "Curves": curves} if rules else {"Curves": curves},
        tables=(_steps(result),),
        beside=_suggestions(result),
    )


def _traces(result: RangeTest, picture: RangeTestPicture, styles: dict[str, Style]) -> list[dict[str, object]]:
    rates, steps = picture.learning_rates, list(range(len(picture.learning_rates)))
    hover = f"step %{{customdata}}<br>{HOVER}"
    traces = []
    if picture.band is not None:
        traces.append(band(rates, picture.band, "sky", name="all repeats", keys=["band"]))
    many = len(rates) > 400
    traces.append(
        scatter(rates, picture.points, POINTS, name="loss", keys=["points"], hover=hover, customdata=steps,
                size=4 if many else 5, opacity=0.7)
    )  # fmt: skip
    traces.append(
        scatter(rates, picture.smoothed, SMOOTHED, name="smoothed", keys=["smoothed"], hover=hover, customdata=steps)
    )
    leaving = _leaving(result, picture)
    if leaving.any():
        traces.append(_leavers(picture, leaving))
    for mark in reversed(picture.marks):
        traces += _mark(mark, styles[mark.rule])
    return traces


def _mark(mark: Mark, style: Style) -> list[dict[str, Any]]:
    name = f"{mark.rule}{' (suggested)' if mark.chosen else ''}"
    at, keys = ([mark.learning_rate], [mark.loss]), [f"rule {mark.rule}"]
    drawn = scatter(*at, style, name=name, keys=keys, hover=HOVER, size=15 if mark.chosen else 11)
    drawn["marker"] |= {"line": {"color": "@paper", "width": 1.5}}
    # On hover plotly lets small markers win over large ones; this one, unseen, lets the mark win over the curve.
    return [drawn, scatter(*at, style, name=name, keys=keys, hover=HOVER, size=5, opacity=0)]


def _leaving(result: RangeTest, picture: RangeTestPicture) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which steps the picture, as it opens, does not show: nothing vanishes unseen."""
    lost = np.isin(picture.learning_rates, picture.non_finite)
    return lost | (np.nan_to_num(picture.points, nan=-np.inf) > picture.limits[1])


def _leavers(picture: RangeTestPicture, leaving: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[str, object]:
    """Marks on the top edge, on an axis of their own that does not zoom."""
    told = ["NaN or infinite" if loss is None else f"{loss:.7g}" for loss in numbers(picture.points[leaving])]
    return scatter(
        picture.learning_rates[leaving], [0.985] * int(leaving.sum()), Style("red", marker="triangle-up"),
        name="outside", keys=["leaving"], hover=f"rate %{{x:{NUMBER}}}<br>loss %{{customdata}}",
        customdata=told, yaxis="y2", size=7,
    )  # fmt: skip


def _layout(picture: RangeTestPicture) -> dict[str, object]:
    shapes = [
        line_across("x", mark.learning_rate, "ink/0.5", keys=[f"rule {mark.rule}"], dash="solid")
        for mark in picture.marks
        if mark.chosen
    ]
    if picture.blow_up is not None:
        shapes.append(line_across("x", picture.blow_up, "red", keys=["blow-up"]))
    xaxis: dict[str, object] = {"title": "learning rate", "type": "log" if picture.logarithmic else "linear"}
    return {
        "xaxis": xaxis | {"range": _rate_range(picture), "exponentformat": "power"},
        "yaxis": {"title": "loss", "range": list(picture.limits)},
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
        "shapes": shapes,
    }


def _rate_range(picture: RangeTestPicture) -> list[float] | None:
    """The ends of the rate axis, in rates; None, for plotly to find, where there are no two."""
    if len(picture.learning_rates) < 2:
        return None
    first, last = map(float, picture.learning_rates[[0, -1]])
    if picture.logarithmic:
        pad = (last / first) ** 0.03
        return [first / pad, last * pad]
    return [first - 0.03 * (last - first), last + 0.03 * (last - first)]


def _logs(picture: RangeTestPicture) -> tuple[str, ...]:
    shown = [picture.points, picture.smoothed, *([] if picture.band is None else picture.band)]
    return ("x", "y") if positive(np.concatenate(shown)) else ("x",)


def _steps(result: RangeTest) -> Table:
    several = result.losses.ndim == 2
    losses = result.losses if several else result.losses[None]
    names = [f"loss {n}" for n in range(len(losses))] if several else ["loss"]
    columns = [range(len(result.learning_rates)), result.learning_rates, *losses, result.smoothed]
    rows = list(zip(*(map(_number, column) for column in columns), strict=True))
    return Table("Every step of the range test", ("step", "learning rate", *names, "smoothed"), rows, folded=True)


def _number(value: float) -> float:
    return value if isinstance(value, int) else float(value)


def _settings(result: RangeTest) -> dict[str, object]:
    asked = "" if result.num_steps is None else f" of {result.num_steps} asked for"
    settings: dict[str, object] = {"steps": f"{len(result.learning_rates)}{asked}", "spacing": result.spacing}
    settings["repeats"] = len(result.losses) if result.losses.ndim == 2 else 1
    for name in ("optimizer", "batch_size", "backend", "seed"):
        settings[name.replace("_", " ")] = getattr(result, name)
    return settings | {"rule": result.rule}


def _code(result: RangeTest) -> tuple[str, ...]:
    """The call that repeats the test; the ramp's end is worked out, as a test that stops early never comes there."""
    given: dict[str, object] = {}
    rates, steps = result.learning_rates, result.num_steps
    if steps is not None and len(rates) > 1:
        first, second = float(rates[0]), float(rates[1])
        last = first + (second - first) * (steps - 1)
        if result.spacing != "linear":
            last = math.exp(math.log(first) + math.log(second / first) * (steps - 1))
        ends = {"min_learning_rate": float(f"{first:.6g}"), "max_learning_rate": float(f"{last:.6g}")}
        given = {**ends, "num_steps": steps}
    shell = "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items())
    for name in ("batch_size", "seed"):
        if getattr(result, name) is not None:
            given[name] = getattr(result, name)
            shell += f" --{name.replace('_', '-')} {given[name]}"
    given |= {"spacing": result.spacing} if result.spacing != "exponential" else {}
    given |= {"repeats": len(result.losses)} if result.losses.ndim == 2 else {}
    given |= {"rule": result.rule}
    told = "".join(f", {name}={value!r}" for name, value in given.items())
    calls = (f"onecycle.find_learning_rate(model, x, y{told})",)
    simple = result.spacing == "exponential" and result.losses.ndim == 1
    return (*calls, f"onecycle find MODULE:FUNCTION{shell}") if simple else calls
