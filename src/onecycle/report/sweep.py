"""The report's section on a sweep."""

from __future__ import annotations

import numpy as np

from onecycle.plot.sweep_info import SweepPicture, sweep_picture
from onecycle.report.parts import Figure, Section, Style, Table, Toggle, View
from onecycle.report.traces import NUMBER, line_across, positive, scatter, short, style_of
from onecycle.results.sweep import Sweep

# As in `plot/sweep_draw.py`.
STYLES = (Style("grey", "dash", "square"), Style("blue", "solid", "circle"), Style("ink", "dashdot", "triangle-up"))
LEFT = Style("red", marker="triangle-up")
HOVER = f"rate %{{x:{NUMBER}}}<br>held-out loss %{{y:{NUMBER}}}"


def sweep_section(result: Sweep) -> Section:
    """Returns what the report says of a sweep."""
    picture = sweep_picture(result)
    return Section(
        kind="Learning rate sweep",
        verdict=result.verdict,
        details=(result.pick.reason, f"It cost {result.cost:.3g} of the whole run.", result.held_out, *result.engines),
        brief=_runs(result),
        figures=(_scores(result, picture), _training(result)),
        settings={"whole run": f"{result.total_steps} steps", "seed": result.seed, **result.config},
        versions=result.versions,
        code=_code(result),
        peak=result.pick.learning_rate,
    )


def _runs(result: Sweep) -> Table:
    picked = result.pick.seen_at
    rows: list[tuple[float, int, float | None, str]] = []
    for rate, steps, score in zip(result.learning_rates, result.steps, result.scores, strict=True):
        best = rate == picked and steps == result.steps.max()
        told = "best of the longest" if best else "" if np.isfinite(score) else "diverged"
        rows.append((float(rate), int(steps), float(score) if np.isfinite(score) else None, told))
    return Table("Each run", ("peak", "steps", "held-out loss", ""), rows)


def _scores(result: Sweep, picture: SweepPicture) -> Figure:
    styles = dict(zip((line.steps for line in picture.lines), _styles(len(picture.lines)), strict=True))
    toggles = [Toggle(f"runs {line.steps}", f"{line.steps} steps", styles[line.steps]) for line in picture.lines]
    traces = []
    left = np.concatenate([line.rates[picture.leavers(line)] for line in picture.lines] or [np.empty(0)])
    for line in picture.lines:
        keys = [f"runs {line.steps}"]
        traces.append(
            scatter(line.rates, line.scores, styles[line.steps], name=f"{line.steps} steps", keys=keys, hover=HOVER)
        )
    if len(left):
        toggles.append(Toggle("left", "diverged or above the picture", LEFT))
        traces.append(scatter(left, [0.985] * len(left), LEFT, name="outside", keys=["left"], yaxis="y2", size=7))
    shapes = []
    for rate, dash in _lines(picture):
        shapes.append(line_across("x", rate, "green", keys=["pick"], dash=dash))
    toggles += [Toggle("pick", f"picked {picture.picked:.3g}", Style("green", "solid"))] if picture.picked else []
    layout = {
        "xaxis": {"title": "peak learning rate", "type": "log", "exponentformat": "power"},
        "yaxis": {"title": "held-out loss", "range": list(picture.limits)},
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
        "shapes": shapes,
    }
    logs = ("x", "y") if positive(result.scores[np.isfinite(result.scores)]) else ("x",)
    return Figure(
        title="Held-out loss against peak",
        says=f"{len(result.scores)} short runs. {picture.title}. {picture.caption}",
        views=(View("", traces, layout, logs),),
        toggles={"Shown": toggles},
        tables=(_runs(result),),
    )


def _styles(lengths: int) -> list[Style]:
    return [*(STYLES[1:] if lengths == 1 else STYLES), *(style_of(n) for n in range(lengths))][:lengths]


def _lines(picture: SweepPicture) -> list[tuple[float, str]]:
    """The pick and the ends of its interval, each with how its line is drawn."""
    ends = [(end, "dot") for end in picture.interval or ()]
    return ends + ([(picture.picked, "solid")] if picture.picked is not None else [])


def _training(result: Sweep) -> Figure:
    names = [f"{rate:.3g}, {int(steps)} steps" for rate, steps in zip(result.learning_rates, result.steps, strict=True)]
    toggles = [Toggle(f"run {n}", name, Style(style_of(n).color, style_of(n).dash)) for n, name in enumerate(names)]
    curves = [own[: _length(own)] for own in result.curves]
    shares = [(np.arange(len(own)) + 0.5) / max(len(own), 1) for own in curves]
    traces = [
        scatter(short(shares[n]), own, Style(style_of(n).color, style_of(n).dash), name=name, keys=[f"run {n}"],
                hover=f"%{{x:.0%}} of the run<br>loss %{{y:{NUMBER}}}")
        for n, (name, own) in enumerate(zip(names, curves, strict=True))
    ]  # fmt: skip
    finite = result.curves[np.isfinite(result.curves)]
    top = float(np.quantile(finite, 0.95)) if len(finite) else 1.0
    bottom = float(finite.min()) if len(finite) else 0.0
    layout = {
        "xaxis": {"title": "share of the run", "range": [0, 1]},
        "yaxis": {"title": "training loss", "range": [bottom, top + 0.1 * (top - bottom)] if top > bottom else None},
    }
    rows = [
        (name, float(share), float(loss))
        for name, own, at in zip(names, curves, shares, strict=True)
        for share, loss in zip(at, own, strict=True)
    ]
    return Figure(
        title="Training loss of each run",
        says="Means of equal parts of each run; a curve that ends early diverged.",
        views=(View("", traces, layout, ("y",) if positive(finite) else ()),),
        toggles={"Runs": toggles},
        tables=(Table("Training loss along each run", ("run", "share of the run", "loss"), rows, folded=True),),
    )


def _length(curve: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    """How much of a row is curve and not padding."""
    there = np.flatnonzero(np.isfinite(curve))
    return int(there[-1]) + 1 if len(there) else 0


def _code(result: Sweep) -> tuple[str, ...]:
    epochs, budget = result.config.get("epochs"), result.config.get("budget")
    given = {"batch_size": result.config.get("batch_size"), "seed": result.seed}
    told = "".join(f", {name}={value}" for name, value in given.items() if value is not None)
    shell = "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items() if value is not None)
    return (
        f"onecycle.sweep_learning_rates(model, x, y, epochs={epochs}, budget={budget}{told})",
        f"onecycle sweep MODULE:FUNCTION --epochs {epochs} --budget {budget}{shell}",
    )
