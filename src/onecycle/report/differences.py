"""The report's figure of paired differences, with a view for each measure."""

from __future__ import annotations

import math

from onecycle.plot.comparison_info import ArmDifferences, DifferencesPicture, differences_picture, interval_name
from onecycle.report.parts import Cell, DataTable, Figure, PlotlyObject, Style, Toggle, View
from onecycle.report.traces import NUMBER, arm_style, literal_text, scatter, shaded_range, straight_line
from onecycle.results.comparison import Comparison

HALF_ROW = 0.22  # half the height over which the points of an arm are spread; the rows have a distance of 1
MAX_NAME = 36  # characters of a name on the figure; the legend and the hover label have the whole name


def differences_figure(result: Comparison) -> Figure:
    """Return the figure of the difference to the baseline for each seed, with each arm's mean and interval."""
    measures = list(result.verdicts[result.arms[1]])
    arms = [Toggle(f"arm {number}", arm, arm_style(number)) for number, arm in enumerate(result.arms) if number]
    shown = [Toggle("seeds", "each seed", Style("gray", marker="circle"))]
    shown.append(Toggle("means", f"mean and {interval_name(result)}", Style("ink", dash="solid", marker="diamond")))
    return Figure(
        title=f"Paired differences to {result.baseline}",
        description=f"One point for each seed; the diamond is their mean, its line the {interval_name(result)}. Hollow "
        "points are bounds: one of the two runs did not reach the target, or diverged. The difference to a run that "
        "diverged has no size and is drawn at the edge.",
        views=[_view(result, measure) for measure in measures],
        toggles={"Arms": arms, "Shown": shown},
        tables=(_table(result, measures),),
        height=max(220, 130 + 90 * len(arms)),
    )


def _view(result: Comparison, measure: str) -> View:
    picture = differences_picture(result, measure)
    rows = {arm: number for number, arm in enumerate(result.arms)}
    traces = [trace for arm in picture.arms for trace in _traces(result, arm, rows[arm.name])]
    label = f"{measure} to the target" if picture.ratios else measure
    return View(label, traces, _layout(result, picture), ("x",) if picture.ratios else ())


def _layout(result: Comparison, picture: DifferencesPicture) -> PlotlyObject:
    shapes = [straight_line("x", picture.zero, "gray", dash="solid")]
    if picture.margin is not None:
        shapes.append(shaded_range(*picture.margin, "gray"))
    scale = "log" if picture.ratios else "linear"
    return {
        "xaxis": {"title": literal_text(f"{picture.label} ({picture.better_label})"), "type": scale},
        # From top to bottom. Arms are numbered from 1, as the baseline is 0.
        "yaxis": {"range": [len(result.arms) - 0.55, 0.4], "visible": False, "fixedrange": True},
        "shapes": shapes,
        "annotations": [_name(arm, row) for row, arm in enumerate(result.arms) if row],
    }


def _name(arm: str, row: int) -> PlotlyObject:
    """Return the name of an arm above its row."""
    shown = arm if len(arm) <= MAX_NAME else f"{arm[: MAX_NAME - 1]}…"
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": row - 0.36, "yanchor": "middle", "showarrow": False}
    return {
        "text": literal_text(shown),
        "font": {"color": f"@{arm_style(row).color}"},
        "keys": [f"arm {row}"],
        **place,
    }


def _traces(result: Comparison, arm: ArmDifferences, row: int) -> list[PlotlyObject]:
    color, key, count = arm_style(row).color, f"arm {row}", len(arm.values)
    heights = [row + HALF_ROW * (2 * n / max(count - 1, 1) - 1) * (count > 1) for n in range(count)]
    points = scatter(
        arm.values, heights, Style(color, marker="circle"), name=arm.name, keys=[key, "seeds"], opacity=0.75,
        hover="seed %{customdata}", customdata=_hover_labels(result, arm), size=9,
    )  # fmt: skip
    points["marker"] |= {"symbol": ["circle-open" if bound else "circle" for bound in arm.censored] or "circle"}
    if not math.isfinite(arm.effect):
        return [points]
    mean = scatter(
        [arm.effect], [row], Style(color, marker="diamond"), name=f"{arm.name}: {arm.verdict}",
        keys=[key, "means"], hover=f"mean %{{x:{NUMBER}}}", size=14,
    )  # fmt: skip
    mean["marker"] |= {"line": {"color": "@paper", "width": 1.5}}
    if arm.interval is None:
        return [points, mean]
    whiskers = scatter(
        arm.interval, [row, row], Style(color, dash="solid", marker="line-ns-open"), name=arm.name,
        keys=[key, "means"], hover=f"end of the 95 % interval %{{x:{NUMBER}}}", width=3, size=14,
    )  # fmt: skip
    return [points, whiskers, mean]


def _hover_labels(result: Comparison, arm: ArmDifferences) -> list[str]:
    """Return the hover label of each seed's point."""
    seeds = zip(result.seeds, arm.values, arm.infinite, strict=False)  # an arm without the others has no values
    return [
        f"{seed}<br>{'one of the two runs diverged' if infinite else format(value, '.7g')}"
        for seed, value, infinite in seeds
    ]


def _table(result: Comparison, measures: list[str]) -> DataTable:
    rows: list[tuple[Cell, ...]] = []
    for arm in result.arms[1:]:
        for number, seed in enumerate(result.seeds):
            differences = [_item(result.verdicts[arm][measure].differences, number) for measure in measures]
            rows.append((arm, seed, *differences))
    caption = f"Each seed's difference to {result.baseline}; for times the ratio"
    return DataTable(caption, ("arm", "seed", *measures), rows, folded=True)


def _item(values: tuple[float, ...], index: int) -> float | None:
    return values[index] if index < len(values) else None
