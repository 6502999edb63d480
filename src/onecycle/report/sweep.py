"""The report's section on a sweep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onecycle.plot.sweep_info import SweepPicture, sweep_picture
from onecycle.report.parts import DataTable, Figure, PlotlyObject, Section, Style, Toggle, View
from onecycle.report.traces import (
    EDGE_AXIS,
    NUMBER,
    all_positive,
    arm_style,
    edge_marks,
    rounded,
    scatter,
    straight_line,
)
from onecycle.results.sweep import Sweep

# As in `plot/sweep_draw.py`.
STYLES = (Style("gray", "dash", "square"), Style("blue", "solid", "circle"), Style("ink", "dashdot", "triangle-up"))
ABOVE, DIVERGED = Style("red", marker="triangle-up"), Style("red", marker="x")
HOVER = f"rate %{{x:{NUMBER}}}<br>held-out loss %{{y:{NUMBER}}}"
SHOWN_QUANTILE = 0.95  # larger training losses are above the figure


def sweep_section(result: Sweep) -> Section:
    """Return the report's section on a sweep."""
    return Section(
        title="Learning rate sweep",
        verdict=result.verdict,
        details=(result.pick.reason, f"It cost {result.cost:.3g} of the full run.", result.held_out, *result.engines),
        main_table=_runs(result),
        figures=(_score_figure(result), _training_figure(result)),
        settings={"full run": f"{result.total_steps} steps", "seed": result.seed, **result.config},
        versions=result.versions,
        origin=result.origin,
        code=_code(result),
        peak=result.pick.learning_rate,
    )


def _runs(result: Sweep) -> DataTable:
    rows: list[tuple[float, int, float | None, str]] = []
    for rate, steps, score in zip(result.learning_rates, result.steps, result.scores, strict=True):
        best = rate == result.pick.seen_at and steps == result.steps.max()
        note = "best of the longest" if best else "" if np.isfinite(score) else "diverged"
        rows.append((float(rate), int(steps), float(score) if np.isfinite(score) else None, note))
    return DataTable("Each run", ("peak", "steps", "held-out loss", ""), rows)


def _score_figure(result: Sweep) -> Figure:
    picture = sweep_picture(result)
    styles = dict(zip((line.steps for line in picture.lines), _styles(len(picture.lines)), strict=True))
    toggles = [Toggle(f"runs {line.steps}", f"{line.steps} steps", styles[line.steps]) for line in picture.lines]
    traces = [
        scatter(line.rates, line.scores, styles[line.steps], name=f"{line.steps} steps", keys=[f"runs {line.steps}"],
                hover=HOVER)
        for line in picture.lines
    ]  # fmt: skip
    edge = (("above", "above the plot", picture.above, ABOVE), ("diverged", "diverged", picture.diverged, DIVERGED))
    for key, label, rates, style in edge:
        if len(rates):
            toggles.append(Toggle(key, label, style))
            traces.append(edge_marks(rates.tolist(), style, key=key))
    if picture.picked is not None:
        toggles.append(Toggle("pick", f"picked {picture.picked:.3g}", Style("green", "solid")))
    logs = ("x", "y") if all_positive(result.scores[np.isfinite(result.scores)]) else ("x",)
    return Figure(
        title="Held-out loss against peak",
        description=f"{len(result.scores)} short runs. {picture.title}. {picture.caption}",
        views=(View("", traces, _score_layout(picture), logs),),
        toggles={"Shown": toggles},
        tables=(replace(_runs(result), folded=True),),
    )


def _styles(lengths: int) -> list[Style]:
    return [*(STYLES[1:] if lengths == 1 else STYLES), *map(arm_style, range(lengths))][:lengths]


def _score_layout(picture: SweepPicture) -> PlotlyObject:
    shapes = [straight_line("x", end, "green", keys=["pick"], dash="dot") for end in picture.interval or ()]
    if picture.picked is not None:
        shapes.append(straight_line("x", picture.picked, "green", keys=["pick"], dash="solid"))
    return {
        "xaxis": {"title": "peak learning rate", "type": "log", "exponentformat": "power"},
        "yaxis": {"title": "held-out loss", "range": list(picture.limits)},
        "yaxis2": EDGE_AXIS,
        "shapes": shapes,
    }


def _training_figure(result: Sweep) -> Figure:
    names = [f"{rate:.3g}, {int(steps)} steps" for rate, steps in zip(result.learning_rates, result.steps, strict=True)]
    styles = [Style(arm_style(run).color, arm_style(run).dash) for run in range(len(names))]
    curves = [_without_padding(curve) for curve in result.curves]
    shares = [(np.arange(len(curve)) + 0.5) / max(len(curve), 1) for curve in curves]
    # Over the share of the run, so that runs of different lengths can be compared.
    traces = [
        scatter(rounded(shares[run]), curves[run], styles[run], name=name, keys=[f"run {run}"],
                hover=f"%{{x:.0%}} of the run<br>loss %{{y:{NUMBER}}}")
        for run, name in enumerate(names)
    ]  # fmt: skip
    finite = result.curves[np.isfinite(result.curves)]
    layout: PlotlyObject = {
        "xaxis": {"title": "share of the run", "range": [0, 1]},
        "yaxis": {"title": "training loss", "range": _loss_range(finite)},
    }
    rows = [
        (name, float(share), float(loss))
        for name, curve, at in zip(names, curves, shares, strict=True)
        for share, loss in zip(at, curve, strict=True)
    ]
    return Figure(
        title="Training loss of each run",
        description="Means of equal parts of each run; a curve that ends early diverged.",
        views=(View("", traces, layout, ("y",) if all_positive(finite) else ()),),
        toggles={"Runs": [Toggle(f"run {run}", name, styles[run]) for run, name in enumerate(names)]},
        tables=(DataTable("Training loss along each run", ("run", "share of the run", "loss"), rows, folded=True),),
    )


def _without_padding(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a curve up to its last finite value."""
    finite = np.flatnonzero(np.isfinite(curve))
    return curve[: int(finite[-1]) + 1 if len(finite) else 0]


def _loss_range(losses: NDArray[np.float64]) -> list[float] | None:
    """Return the ends of the loss axis. Without two different losses it is None, and plotly chooses them."""
    if not len(losses):
        return [0.0, 1.1]
    bottom, top = float(losses.min()), float(np.quantile(losses, SHOWN_QUANTILE))
    return [bottom, top + 0.1 * (top - bottom)] if top > bottom else None


def _code(result: Sweep) -> tuple[str, ...]:
    """Return the call and the command that repeat the sweep."""
    epochs, budget = result.config.get("epochs"), result.config.get("budget")
    given = {"batch_size": result.config.get("batch_size"), "seed": result.seed}
    keywords = "".join(f", {name}={value}" for name, value in given.items() if value is not None)
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items() if value is not None)
    return (
        f"onecycle.sweep_learning_rates(model, x, y, epochs={epochs}, budget={budget}{keywords})",
        f"onecycle sweep MODULE:FUNCTION --epochs {epochs} --budget {budget}{options}",
    )
