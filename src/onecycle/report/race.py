"""The report's section on a race."""

from __future__ import annotations

import math

import numpy as np

from onecycle.plot.race_info import RacePicture, race_picture
from onecycle.report.parts import Cell, DataTable, Figure, PlotlyObject, Section, Style, Toggle, View
from onecycle.report.traces import NUMBER, all_positive, arm_style, rounded, scatter, straight_line
from onecycle.results.race import Race

DEFAULT_CANDIDATES = 3  # of `race_learning_rates`


def race_section(result: Race) -> Section:
    """Return the report's section on a race."""
    return Section(
        title="Learning rate race",
        verdict=result.verdict,
        details=(
            result.reason,
            f"The race cost {result.cost:.3g} runs.",
            result.held_out,
            *filter(None, (result.note,)),
        ),
        main_table=_candidates(result),
        figures=(_figure(result),),
        settings={"one run": f"{result.total_steps} steps", "seed": result.seed, **result.config},
        versions=result.versions,
        origin=result.origin,
        code=_code(result),
        peak=result.learning_rate,
    )


def _candidates(result: Race) -> DataTable:
    headings = [name for name in result.rows()[0] if name not in ("best", "reason")]
    rows: list[list[Cell]] = []
    for k, rate in enumerate(result.learning_rates):
        scores = [float(score) if np.isfinite(score) else None for score in result.scores[k]]
        rows.append([float(rate), int(result.steps[k]), *scores, result.reasons[k]])
    return DataTable("The candidates, judged by their averaged weights", (*headings, ""), rows)


def _figure(result: Race) -> Figure:
    picture = race_picture(result)
    styles = [Style(arm_style(k).color, arm_style(k).dash) for k in range(len(picture.lines))]
    traces = [
        scatter(rounded(map(float, line.steps)), rounded(line.losses), styles[k], name=line.label,
                keys=[f"candidate {k}"], hover=f"step %{{x}}<br>loss %{{y:{NUMBER}}}", width=3.0 if line.won else 1.5)
        for k, line in enumerate(picture.lines)
    ]  # fmt: skip
    toggles = [Toggle(f"candidate {k}", line.label, styles[k]) for k, line in enumerate(picture.lines)]
    rows = [
        (line.label, int(step), float(loss))
        for line in picture.lines
        for step, loss in zip(line.steps, line.losses, strict=True)
    ]
    logs = ("y",) if all_positive(loss for _, _, loss in rows) else ()
    return Figure(
        title="Training loss of each candidate",
        description=f"{picture.title}. {picture.caption} The dotted lines are the cuts.",
        views=(View("", traces, _layout(picture), logs),),
        toggles={"Peaks": toggles, "Shown": [Toggle("cuts", "cuts", Style("gray", "dot"))]},
        tables=(DataTable("Training loss along each run", ("peak", "step", "loss"), rows, folded=True),),
    )


def _layout(picture: RacePicture) -> PlotlyObject:
    scale: PlotlyObject = {"range": list(picture.limits)}
    if picture.log:
        scale = {"type": "log", "range": [math.log10(end) for end in picture.limits]}
    return {
        "xaxis": {"title": "step of the cycle", "range": [0, picture.total_steps]},
        "yaxis": {"title": "training loss", **scale},
        "shapes": [straight_line("x", step, "gray", keys=["cuts"], dash="dot") for step, _ in picture.cuts],
    }


def _code(result: Race) -> tuple[str, ...]:
    """Return the call and the command that repeat the race."""
    epochs = result.config.get("epochs")
    given = {"batch_size": result.config.get("batch_size"), "seed": result.seed}
    keywords = "".join(f", {name}={value}" for name, value in given.items() if value is not None)
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items() if value is not None)
    if result.monitor != "loss":
        keywords = f', monitor="val_{result.monitor}"{keywords}'
        options = f" --monitor val_{result.monitor}{options}"
    if result.range_test is None:
        rates = [float(f"{rate:.6g}") for rate in result.learning_rates]
        return (f"onecycle.race_learning_rates(model, x, y, epochs={epochs}, candidates={rates}{keywords})",)
    number = result.config.get("candidates", DEFAULT_CANDIDATES)
    if number != DEFAULT_CANDIDATES:
        keywords, options = f", candidates={number}{keywords}", f" --candidates {number}{options}"
    return (
        f"onecycle.race_learning_rates(model, x, y, epochs={epochs}{keywords})",
        f"onecycle race MODULE:FUNCTION --epochs {epochs}{options}",
    )
