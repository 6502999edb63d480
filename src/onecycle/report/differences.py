"""The report's picture of paired differences: a view for each measure."""

from __future__ import annotations

import math
from typing import Any

from onecycle.plot.comparison_info import ArmDifferences, differences_picture
from onecycle.report.parts import Figure, Style, Table, Toggle, View
from onecycle.report.traces import NUMBER, line_across, plain, scatter, style_of
from onecycle.results.comparison import Comparison

HALF_ROW = 0.22  # of the distance between two arms, over which the seeds' points are spread
LONGEST_NAME = 36  # letters; the whole name is in the legend and on hover


def differences_figure(result: Comparison) -> Figure:
    """Returns each seed's difference to the baseline, and each arm's mean with its interval, in every measure."""
    measures = list(result.verdicts[result.arms[1]])
    arms = [Toggle(f"arm {number}", arm, style_of(number)) for number, arm in enumerate(result.arms) if number]
    shown = [Toggle("seeds", "each seed", Style("grey", marker="circle"))]
    shown.append(Toggle("means", "mean and 95 % interval", Style("ink", dash="solid", marker="diamond")))
    return Figure(
        title=f"Paired differences to {result.baseline}",
        says="One point for each seed; the diamond is their mean, its line the 95 % interval. "
        "Hollow points are bounds: one of the two runs never came to the target, or diverged, which has no size "
        "and stands at the edge.",
        views=[_view(result, measure) for measure in measures],
        toggles={"Arms": arms, "Shown": shown},
        tables=(_table(result, measures),),
        height=max(220, 130 + 90 * len(arms)),
    )


def _view(result: Comparison, measure: str) -> View:
    picture = differences_picture(result, measure)
    place = {arm: number for number, arm in enumerate(result.arms)}
    count = len(result.arms) - 1
    shapes = [line_across("x", picture.zero, "grey", dash="solid")]
    if picture.margin is not None:
        low, high = picture.margin
        shapes.append(
            {"type": "rect", "layer": "below", "x0": low, "x1": high, "y0": 0, "y1": 1, "yref": "paper",
             "line": {"width": 0}, "fillcolor": "@grey/0.18", "keys": []}
        )  # fmt: skip
    arrow = "← better" if picture.better == "left" else "better →"
    layout = {
        "xaxis": {"title": f"{picture.label} ({arrow})", "type": "log" if picture.ratios else "linear"},
        "yaxis": {"range": [count + 0.45, 0.4], "visible": False, "fixedrange": True},
        "shapes": shapes,
        "annotations": [_name(arm, number) for number, arm in enumerate(result.arms) if number],
    }
    traces = [trace for arm in picture.arms for trace in _traces(result, arm, place[arm.name])]
    label = f"{measure} to the target" if picture.ratios else measure
    return View(label, traces, layout, ("x",) if picture.ratios else ())


def _name(arm: str, row: int) -> dict[str, Any]:
    short = arm if len(arm) <= LONGEST_NAME else f"{arm[: LONGEST_NAME - 1]}…"
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": row - 0.36, "yanchor": "middle", "showarrow": False}
    return {"text": plain(short), "font": {"color": f"@{style_of(row).color}"}, "keys": [f"arm {row}"], **place}


def _traces(result: Comparison, arm: ArmDifferences, row: int) -> list[dict[str, Any]]:
    style, key, count = style_of(row), f"arm {row}", len(arm.values)
    spread = [row + HALF_ROW * (2 * n / max(count - 1, 1) - 1) * (count > 1) for n in range(count)]
    points = scatter(
        arm.values, spread, Style(style.color, marker="circle"), name=arm.name, keys=[key, "seeds"], opacity=0.75,
        hover="seed %{customdata}", customdata=_told(result, arm), size=9,
    )  # fmt: skip
    points["marker"] |= {"symbol": ["circle-open" if bound else "circle" for bound in arm.censored] or "circle"}
    if not math.isfinite(arm.effect):
        return [points]
    mean = scatter(
        [arm.effect], [row], Style(style.color, marker="diamond"), name=f"{arm.name}: {arm.verdict}",
        keys=[key, "means"], hover=f"mean %{{x:{NUMBER}}}", size=14,
    )  # fmt: skip
    mean["marker"] |= {"line": {"color": "@paper", "width": 1.5}}
    if arm.interval is None:
        return [points, mean]
    whiskers = scatter(
        arm.interval, [row, row], Style(style.color, dash="solid", marker="line-ns-open"), name=arm.name,
        keys=[key, "means"], hover=f"end of the 95 % interval %{{x:{NUMBER}}}", width=3, size=14,
    )  # fmt: skip
    return [points, whiskers, mean]


def _told(result: Comparison, arm: ArmDifferences) -> list[str]:
    """What each seed's point says."""
    shown = zip(result.seeds, arm.values, arm.infinite, strict=False)  # of one arm alone there are no values
    return [f"{seed}<br>{'one of the two diverged' if lost else format(value, '.7g')}" for seed, value, lost in shown]


def _table(result: Comparison, measures: list[str]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for arm in result.arms[1:]:
        for number, seed in enumerate(result.seeds):
            cells = [_at(result.verdicts[arm][measure].differences, number) for measure in measures]
            rows.append((arm, seed, *cells))
    return Table(
        f"Each seed's difference to {result.baseline}; of times the ratio",
        ("arm", "seed", *measures), rows, folded=True,
    )  # fmt: skip


def _at(values: tuple[float, ...], number: int) -> float | None:
    return values[number] if number < len(values) else None
