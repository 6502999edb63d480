"""The report's figure of a comparison's training curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onecycle.plot.comparison_info import ArmCurve, ComparisonPicture, comparison_picture
from onecycle.report.parts import Cell, DataTable, Figure, PlotlyObject, Style, Toggle, View
from onecycle.report.traces import (
    NUMBER,
    all_positive,
    arm_style,
    band,
    literal_text,
    rounded,
    scatter,
    straight_line,
)
from onecycle.results.comparison import Comparison
from onecycle.results.runs import MeasuredRun

Array = NDArray[np.float64]

MAX_POINTS = 20_000  # of the curves of all seeds; with more, points are left out, so that the file stays below 6 MB
FEW_EPOCHS = 10  # up to this many epochs, every epoch has a tick
HOVER = f"epoch %{{x}}<br>%{{y:{NUMBER}}}"
MEAN_HOVER = f"epoch %{{x}}<br>mean %{{y:{NUMBER}}}"


def curves_figure(result: Comparison) -> Figure:
    """Return the figure of the metric over the epochs."""
    picture = comparison_picture(result)
    points = sum(len(values) for curve in picture.curves for values in curve.runs)
    stride = math.ceil(points / MAX_POINTS) or 1
    traces = [trace for arm in range(len(result.arms)) for trace in _arm_traces(result, arm, picture, stride)]
    thinned = f" Seeds are drawn every {stride} epochs." if stride > 1 else ""
    everything = [values for curve in picture.curves for values in (*curve.runs, curve.mean)]
    logs = ("y",) if all_positive(value for values in everything for value in values) else ()
    return Figure(
        title=f"{result.metric} over the epochs",
        description=f"{picture.caption.capitalize()}. A star marks where a mean reaches the target, a cross where a "
        f"run diverged.{thinned}",
        views=(View("", traces, _layout(picture, max(map(len, everything), default=0)), logs),),
        toggles=_toggles(result, picture),
        tables=(_epochs(result),),
    )


def _toggles(result: Comparison, picture: ComparisonPicture) -> dict[str, Sequence[Toggle]]:
    arms = [Toggle(f"arm {n}", curve.label, arm_style(n)) for n, curve in enumerate(picture.curves)]
    seeds = [Toggle(f"seed {seed}", str(seed)) for seed in result.seeds]
    several = len(seeds) > 1
    shown = [Toggle("mean", "mean over all seeds" if several else "mean")]
    if several:
        shown += [Toggle("interval", "95 % interval"), Toggle("runs", "each seed")]
    if picture.target is not None:
        shown.append(Toggle("target", f"target {picture.target:.3g}", Style("gray", dash="dot")))
    groups: dict[str, Sequence[Toggle]] = {"Arms": arms, "Shown": shown}
    return groups | {"Seeds": seeds} if several else groups


def _layout(picture: ComparisonPicture, epochs: int) -> PlotlyObject:
    layout: PlotlyObject = {
        "xaxis": {"title": "epoch", "dtick": 1 if epochs <= FEW_EPOCHS else None},
        "yaxis": {
            "title": literal_text(picture.metric),
            "range": None if picture.limits is None else list(picture.limits),
        },
    }
    if picture.target is not None:
        layout["shapes"] = [straight_line("y", picture.target, "gray", keys=["target"], dash="dot")]
    return layout


def _arm_traces(result: Comparison, number: int, picture: ComparisonPicture, stride: int) -> list[PlotlyObject]:
    """Return the traces of one arm: the band, each seed, and the mean.

    Args:
        result: The comparison.
        number: Number of the arm.
        picture: The data of the figure.
        stride: Epochs between the points of a seed.
    """
    arm, style, key, curve = result.arms[number], arm_style(number), f"arm {number}", picture.curves[number]
    epochs = list(range(1, len(curve.mean) + 1))
    traces = [band(epochs, (rounded(curve.low), rounded(curve.high)), style.color, name=arm, keys=[key, "interval"])]
    for run, values in zip(result.of(arm), curve.runs, strict=True):
        traces += _seed_traces(run, values, Style(style.color, style.dash), key, stride)
    return traces + _mean_traces(arm, curve, style, key)


def _seed_traces(run: MeasuredRun, values: Array, style: Style, key: str, stride: int) -> list[PlotlyObject]:
    name, keys = f"{run['arm']}, seed {run['seed']}", [key, "runs", f"seed {run['seed']}"]
    # Every `stride` epochs, and always the last one.
    drawn = [*range(0, len(values) - 1, stride), len(values) - 1] if len(values) else []
    x = None if stride == 1 else [epoch + 1 for epoch in drawn]
    traces = [scatter(x, rounded(values[drawn]), style, name=name, keys=keys, hover=HOVER, width=1, opacity=0.45)]
    finite = np.flatnonzero(np.isfinite(values))
    if run["diverged"] is not None and len(finite):
        last = int(finite[-1])
        cross, hover = Style(style.color, marker="x"), f"diverged after {HOVER}"
        traces.append(scatter([last + 1], [values[last]], cross, name=name, keys=keys, hover=hover, size=10))
    return traces


def _mean_traces(arm: str, curve: ArmCurve, style: Style, key: str) -> list[PlotlyObject]:
    traces = [scatter(None, curve.mean, style, name=arm, keys=[key, "mean"], hover=MEAN_HOVER, width=2.5)]
    if curve.crossing is not None:
        (epoch, value), star = curve.crossing, Style(style.color, marker="star")
        hover, keys = f"reaches the target<br>{MEAN_HOVER}", [key, "mean", "target"]
        traces.append(scatter([epoch], [value], star, name=arm, keys=keys, hover=hover, size=15))
    return traces


def _epochs(result: Comparison) -> DataTable:
    parts = ("mean", "low", "high")
    rows: list[tuple[Cell, ...]] = []
    for arm in result.arms:
        curve = result.curves[arm]
        rows += [(arm, epoch + 1, *(curve[part][epoch] for part in parts)) for epoch in range(len(curve["mean"]))]
    headings = ("arm", "epoch", "mean", "95 % from", "to")
    return DataTable(f"{result.metric} after each epoch", headings, rows, folded=True)
