"""The report's section on a comparison."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from typing import Any

from onecycle.plot.comparison_info import ArmCurve, comparison_picture
from onecycle.report.differences import differences_figure
from onecycle.report.parts import Cell, Figure, Section, Style, Table, Toggle, View
from onecycle.report.traces import NUMBER, band, line_across, positive, scatter, short, style_of
from onecycle.results.comparison import Comparison, Verdict

MOST_POINTS = 20_000  # of all seeds' curves together; beyond, they have fewer, and the file stays below 6 MB
TIMES = ("steps", "epochs", "samples", "seconds")
KINDS = {
    "better": "is better",
    "worse": "is worse",
    "no practical difference": "makes no practical difference",
    "cannot tell": "cannot be told apart from it yet",
    "not measured": "could not be measured",
}


def comparison_section(result: Comparison) -> Section:
    """Returns what the report says of a comparison."""
    figures = [_curves(result)]
    if len(result.arms) > 1:
        figures.append(differences_figure(result))
    told = [result.verdicts[arm][measure].sentence for measure in ("final", "epochs") for arm in result.arms[1:]]
    target = "there is none" if not math.isfinite(result.target) else f"{result.target:.4g}, {result.target_from}"
    better = "higher" if result.mode == "max" else "lower"
    settings: dict[str, Any] = {"metric": f"{result.metric}, {better} is better", "target": target}
    settings["difference that does not matter"] = "none was given" if result.margin is None else result.margin
    settings["seeds"] = ", ".join(map(str, result.seeds))
    return Section(
        kind="Comparison",
        verdict=in_one_sentence(result),
        details=(*told, *(f"Problem: {problem}" for problem in result.problems)),
        brief=_arms(result),
        figures=figures,
        tables=(*_verdicts(result), _runs(result), *_arm_settings(result)),
        settings=settings | {name: value for name, value in result.config.items() if name != "arms"},
        versions=result.versions,
        code=_code(result),
    )


def in_one_sentence(result: Comparison) -> str:
    """Returns the verdict on every arm, in the metric after the last epoch, as one plain sentence."""
    count = len(result.seeds)
    seeds = f"{count} seed{'s' if count != 1 else ''}"
    if len(result.arms) == 1:
        return f"There is one arm, {result.baseline}, over {seeds}: nothing to compare it with."
    by_kind: dict[str, list[str]] = {}
    for arm in result.arms[1:]:
        verdict = result.verdicts[arm]["final"]
        by_kind.setdefault(verdict.kind, []).append(f"{arm}{_effect(verdict)}")
    parts = [f"{_listed(arms)} {_kind(kind, len(arms))}" for kind, arms in by_kind.items()]
    return f"Against {result.baseline}, in {result.metric} after the last epoch over {seeds}: {'; '.join(parts)}."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _kind(kind: str, count: int) -> str:
    words = KINDS.get(kind, kind)
    return words.replace("is ", "are ").replace("makes", "make") if count > 1 else words


def _effect(verdict: Verdict) -> str:
    if not math.isfinite(verdict.effect):
        return ""
    # Adding 0 makes a plain zero of a negative one.
    low, high, effect = verdict.low + 0.0, verdict.high + 0.0, verdict.effect + 0.0
    interval = f", 95 % {low:+.3g} to {high:+.3g}" if math.isfinite(low + high) else ""
    return f" ({effect:+.3g}{interval})"


def _curves(result: Comparison) -> Figure:
    picture = comparison_picture(result)
    seeds = [Toggle(f"seed {seed}", str(seed)) for seed in result.seeds]
    shown = [Toggle("mean", "mean over all seeds"), Toggle("interval", "95 % interval"), Toggle("runs", "each seed")]
    shown = shown if len(seeds) > 1 else [Toggle("mean", "mean")]
    if picture.target is not None:
        shown.append(Toggle("target", f"target {picture.target:.3g}", Style("grey", dash="dot")))
    every = [values for curve in picture.curves for values in (*curve.runs, curve.mean)]
    logs = ("y",) if positive(value for values in every for value in values) else ()
    layout: dict[str, Any] = {
        "xaxis": {"title": "epoch", "dtick": 1 if max(map(len, every), default=0) <= 10 else None},
        "yaxis": {"title": result.metric, "range": None if picture.limits is None else list(picture.limits)},
    }
    if picture.target is not None:
        layout["shapes"] = [line_across("y", picture.target, "grey", keys=["target"], dash="dot")]
    stride = math.ceil(sum(len(values) for curve in picture.curves for values in curve.runs) / MOST_POINTS) or 1
    traces = [
        trace for arm in range(len(result.arms)) for trace in _arm_traces(result, arm, picture.curves[arm], stride)
    ]
    thinned = f" Seeds are drawn every {stride} epochs." if stride > 1 else ""
    arms = [Toggle(f"arm {n}", picture.curves[n].label, style_of(n)) for n in range(len(result.arms))]
    return Figure(
        title=f"{result.metric} over the epochs",
        says=f"{picture.caption.capitalize()}. A star: a mean meets the target; a cross: a run diverged.{thinned}",
        views=(View("", traces, layout, logs),),
        toggles={"Arms": arms, "Shown": shown} | ({"Seeds": seeds} if len(seeds) > 1 else {}),
        tables=(_epochs(result),),
    )


def _arm_traces(result: Comparison, number: int, curve: ArmCurve, stride: int) -> list[dict[str, Any]]:
    arm, style, key = result.arms[number], style_of(number), f"arm {number}"
    epochs = list(range(1, len(curve.mean) + 1))
    hover, mean = f"epoch %{{x}}<br>%{{y:{NUMBER}}}", f"epoch %{{x}}<br>mean %{{y:{NUMBER}}}"
    traces = [band(epochs, (short(curve.low), short(curve.high)), style.color, name=arm, keys=[key, "interval"])]
    thin = Style(style.color, dash=style.dash)
    for run, values in zip(result.of(arm), curve.runs, strict=True):
        keys = [key, "runs", f"seed {run['seed']}"]
        name = f"{arm}, seed {run['seed']}"
        drawn = [*range(0, len(values) - 1, stride), len(values) - 1] if len(values) else []
        x = None if stride == 1 else [epoch + 1 for epoch in drawn]
        line = scatter(x, short(values[drawn]), thin, name=name, keys=keys, hover=hover, width=1, opacity=0.45)
        traces.append(line)
        ends = [(e, v) for e, v in enumerate(values, 1) if math.isfinite(v)][-1:] if run["diverged"] is not None else []
        cross, lost = Style(style.color, marker="x"), f"diverged after {hover}"
        traces += [scatter([e], [v], cross, name=name, keys=keys, hover=lost, size=10) for e, v in ends]
    traces.append(scatter(None, curve.mean, style, name=arm, keys=[key, "mean"], hover=mean, width=2.5))
    if curve.crossing is not None:
        (at, level), star = curve.crossing, Style(style.color, marker="star")
        met, keys = f"meets the target<br>{mean}", [key, "mean", "target"]
        traces.append(scatter([at], [level], star, name=arm, keys=keys, hover=met, size=15))
    return traces


def _arms(result: Comparison) -> Table:
    rows = result.rows()
    return Table(
        "Each arm: means over seeds ± standard deviation; times to the target, the finder's cost included",
        tuple(rows[0]), [tuple(row.values()) for row in rows],
    )  # fmt: skip


def _verdicts(result: Comparison) -> tuple[Table, ...]:
    rows = [
        (arm, f"{v.measure} (ratio)" if v.measure in TIMES else v.measure, v.kind, v.effect, v.low, v.high, v.p,
         v.probability, v.seeds)
        for arm in result.arms[1:]
        for v in result.verdicts[arm].values()
    ]  # fmt: skip
    headings = ("arm", "measure", "verdict", "effect", "95 % from", "to", "p", "chance to be better", "seeds")
    return (Table(f"Every verdict, against {result.baseline}", headings, rows, folded=True),) if rows else ()


def _runs(result: Comparison) -> Table:
    measures = ("final", "best", "loss", "reached", *(f"{name}_to_target" for name in TIMES))
    rows = [
        (run["arm"], run["seed"], *(run[name] for name in measures), run["diverged"], _found(run))
        for arm in result.arms
        for run in result.of(arm)
    ]
    headings = ("arm", "seed", *(name.replace("_", " ") for name in measures), "diverged in epoch", "rate found")
    return Table("Every run", headings, rows, folded=True)


def _arm_settings(result: Comparison) -> tuple[Table, ...]:
    arms = result.config.get("arms")
    if not isinstance(arms, Mapping):
        return ()
    names = list(dict.fromkeys(name for arm in result.arms for name in arms.get(arm, {})))
    rows = [(arm, *(_setting(arms.get(arm, {}).get(name)) for name in names)) for arm in result.arms]
    return (Table("How each arm trains", ("arm", *(name.replace("_", " ") for name in names)), rows, folded=True),)


def _setting(value: Any) -> Cell:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, default=str) if value else None


def _found(run: Mapping[str, Any]) -> float | None:
    rate: float | None = run["finder"].get("learning_rate") if run["finder"] else None
    return rate


def _epochs(result: Comparison) -> Table:
    parts = ("mean", "low", "high")
    rows: list[tuple[Any, ...]] = []
    for arm in result.arms:
        curve = result.curves[arm]
        rows += [(arm, epoch + 1, *(curve[part][epoch] for part in parts)) for epoch in range(len(curve["mean"]))]
    return Table(f"{result.metric} after each epoch", ("arm", "epoch", "mean", "95 % from", "to"), rows, folded=True)


def _code(result: Comparison) -> tuple[str, ...]:
    arms = ", ".join(f"{arm!r}: ..." for arm in result.arms)
    given: dict[str, Any] = {"metric": result.metric, "mode": result.mode}
    given |= {name: result.config[name] for name in ("epochs", "batch_size") if result.config.get(name) is not None}
    given |= {"target": result.target} if result.target_from == "given before the runs" else {}
    given |= {} if result.margin is None else {"margin": result.margin}
    seeds = list(result.seeds)
    told = "".join(f", {name}={value!r}" for name, value in given.items())
    call = f"onecycle.compare(build, data, {{{arms}}}, seeds={seeds!r}{told})"
    if seeds != list(range(len(seeds))):
        return (call,)
    options = "".join(f" --{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items())
    return (call, f"onecycle compare MODULE:FUNCTION --seeds {len(seeds)}{options}")
