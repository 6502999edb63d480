"""The report's section on the cycle of a training."""

from __future__ import annotations

import re

import numpy as np

from onecycle.plot.schedule_info import CyclePicture, cycle_picture
from onecycle.report.history import history_figure
from onecycle.report.parts import Cell, DataTable, Figure, PlotlyObject, Section, Style, Toggle, View
from onecycle.report.traces import NUMBER, all_positive, scatter, shaded_range
from onecycle.results.cycle_report import CycleReport
from onecycle.results.layer_rates import describe_layer_rates, layer_rates_argument

RATE, MOMENTUM = Style("blue", "solid"), Style("red", "dash")
FAINT = 0.4  # opacity of the part of the cycle that was not completed
# A schedule of Keras or of the user cannot be rebuilt from its description.
OURS = r"(OneCycle(\.\w+)?|WarmupLinearDecay|WarmupStableDecay|CyclicalLearningRate)\(.*\)$"


def cycle_section(result: CycleReport) -> Section:
    """Return the report's section on a cycle."""
    picture = cycle_picture(result)
    figures = (_figure(picture) if len(picture.steps) else None, history_figure(result.history))
    return Section(
        title="Training cycle",
        verdict=result.verdict,
        details=(*(() if result.reason is None else (result.reason,)), *result.guarded),
        main_table=_facts(result),
        figures=tuple(figure for figure in figures if figure is not None),
        origin=result.origin,
        code=_code(result),
        peak=result.max_learning_rate,
    )


def _facts(result: CycleReport) -> DataTable:
    evidence = None if result.evidence is None else type(result.evidence).__name__
    rows: list[tuple[str, Cell]] = [
        ("schedule", result.schedule),
        ("peak learning rate", result.max_learning_rate),
        ("peak picked by", {"RangeTest": "range test", "Race": "race", None: "the user"}[evidence]),
        ("momentum", "unchanged" if result.momentum is None else "{:g} to {:g} and back".format(*result.momentum)),
        ("length in steps", result.total_steps),
        ("steps completed", result.steps),
        ("optimizer's step at the start", result.start_step),
        ("batches skipped by loss scaling", result.skipped_steps),
        ("rescues from divergence", len(result.rescues)),
    ]
    if result.layer_rates:
        rows.append(("factors of layers", describe_layer_rates(result.layer_rates)))
    return DataTable("The cycle", ("", "value"), rows)


def _figure(picture: CyclePicture) -> Figure:
    toggles = [Toggle("rate", "learning rate", RATE)]
    if picture.momenta is not None:
        toggles.append(Toggle("momentum", "momentum", MOMENTUM))
    toggles.append(Toggle("made", picture.label, Style("green", band=True)))
    with_momentum = picture.momenta is not None
    parts = "The learning rate above, the momentum below" if with_momentum else "The learning rate"
    return Figure(
        title="Learning rate and momentum of the cycle" if with_momentum else "Learning rate of the cycle",
        description=f"{parts}. {picture.label}: that part is shaded.",
        views=(_view(picture),),
        toggles={"Shown": toggles},
        tables=(_curve_table(picture),),
        height=440 if with_momentum else 360,
    )


def _view(picture: CyclePicture) -> View:
    traces = _curve_traces(picture, picture.learning_rates, "learning rate", "rate", RATE)
    layout: PlotlyObject = {
        "xaxis": {"title": "step of the cycle"},
        "yaxis": {"title": "learning rate", "exponentformat": "power"},
        "shapes": [shaded_range(0, picture.shaded_until, "green", keys=["made"])],
    }
    if picture.momenta is not None:
        traces += _curve_traces(picture, picture.momenta, "momentum", "momentum", MOMENTUM, yaxis="y2")
        layout["xaxis"] |= {"anchor": "y2"}
        layout["yaxis"] |= {"domain": [0.4, 1]}
        layout["yaxis2"] = {
            "title": {"text": "momentum", "standoff": 8, "font": {"size": 13}},
            "domain": [0, 0.3],
            "nticks": 4,
            "gridcolor": "@grid",
            "linecolor": "@rule",
            "zeroline": False,
            "automargin": True,
        }
    return View("", traces, layout, ("y",) if all_positive(picture.learning_rates) else ())


def _curve_traces(
    picture: CyclePicture,
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    name: str,
    key: str,
    style: Style,
    *,
    yaxis: str = "y",
) -> list[PlotlyObject]:
    """Return a faint trace of a whole curve, which has the hover labels, and one of the completed part."""
    hover = f"step %{{x}}<br>{name} %{{y:{NUMBER}}}<extra></extra>"
    whole = scatter(
        picture.steps, values, style, name=name, keys=[key], hover=hover, opacity=FAINT, width=2, yaxis=yaxis
    )
    made = scatter(*picture.made(values), style, name=f"{name}, completed", keys=[key], width=3, yaxis=yaxis)
    return [whole, made]


def _curve_table(picture: CyclePicture) -> DataTable:
    columns = [picture.steps, picture.learning_rates, *([] if picture.momenta is None else [picture.momenta])]
    rows = [(int(step), *map(float, values)) for step, *values in zip(*columns, strict=True)]
    headings = ("step", "learning rate", "momentum")[: len(columns)]
    return DataTable("The cycle at the steps drawn", headings, rows, folded=True)


def _code(result: CycleReport) -> tuple[str, ...]:
    """Return the call that trains with the same cycle, if the schedule is one of onecycle's."""
    if re.match(OURS, result.schedule) is None:
        return ()
    # The step at which the cycle began is left out, since the callback starts the cycle when training starts.
    schedule = re.sub(r", start_step=\d+\)$", ")", result.schedule)
    rates = f", layer_rates={layer_rates_argument(result.layer_rates)}" if result.layer_rates else ""
    callback = f"onecycle.OneCycleScheduler(schedule=onecycle.{schedule}, momentum={result.momentum}{rates})"
    return (f"model.fit(x, y, epochs=..., callbacks=[{callback}])",)
