"""The report's section on a comparison."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping

from onecycle.plot.comparison_info import interval_name
from onecycle.report.comparison_curves import curves_figure
from onecycle.report.differences import differences_figure
from onecycle.report.parts import Cell, DataTable, Section
from onecycle.results.comparison import Comparison, Verdict
from onecycle.results.runs import TIMES, MeasuredRun, hardware_text, time_to_target

KIND_PHRASES = {
    "better": "is better",
    "worse": "is worse",
    "no practical difference": "makes no practical difference",
    "cannot tell": "cannot be distinguished from it yet",
    "not measured": "could not be measured",
}
SENTENCE_MEASURES = ("final", "epochs")


def comparison_section(result: Comparison) -> Section:
    """Return the report's section on a comparison."""
    figures = [curves_figure(result)]
    if len(result.arms) > 1:
        figures.append(differences_figure(result))
    sentences = [result.verdicts[arm][measure].sentence for measure in SENTENCE_MEASURES for arm in result.arms[1:]]
    return Section(
        title="Comparison",
        verdict=comparison_verdict(result),
        details=(*sentences, *(f"Problem: {problem}" for problem in result.problems)),
        main_table=_arms(result),
        figures=figures,
        tables=(*_verdicts(result), _runs(result), *_arm_settings(result)),
        settings=_settings(result),
        versions=result.versions,
        origin=_origin(result),
        code=_code(result),
    )


def _origin(result: Comparison) -> dict[str, str]:
    """Return the machines of the runs."""
    machines = dict.fromkeys(hardware_text(run["machine"]) for run in result.runs)
    return {"hardware": "; ".join(machines)} if machines else {}


def comparison_verdict(result: Comparison) -> str:
    """Return the verdict on every arm, in the metric after the last epoch, as one sentence."""
    count = len(result.seeds)
    seeds = f"{count} seed{'s' if count != 1 else ''}"
    if len(result.arms) == 1:
        return f"There is one arm, {result.baseline}, over {seeds}: nothing to compare it with."
    by_kind: dict[str, list[str]] = {}
    for arm in result.arms[1:]:
        verdict = result.verdicts[arm]["final"]
        by_kind.setdefault(verdict.kind, []).append(f"{arm}{_effect(verdict)}")
    parts = [f"{_enumeration(arms)} {_kind_phrase(kind, len(arms))}" for kind, arms in by_kind.items()]
    level = f" ({interval_name(result)})" if len(result.arms) > 2 else ""
    return (
        f"Against {result.baseline}, in {result.metric} after the last epoch over {seeds}{level}: {'; '.join(parts)}."
    )


def _enumeration(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _kind_phrase(kind: str, count: int) -> str:
    phrase = KIND_PHRASES.get(kind, kind)
    return phrase.replace("is ", "are ").replace("makes", "make") if count > 1 else phrase


def _effect(verdict: Verdict) -> str:
    if not math.isfinite(verdict.effect):
        return ""
    # Adding 0 turns a negative zero into a plain one.
    low, high, effect = verdict.low + 0.0, verdict.high + 0.0, verdict.effect + 0.0
    interval = f", 95 % {low:+.3g} to {high:+.3g}" if math.isfinite(low + high) else ""
    return f" ({effect:+.3g}{interval})"


def _arms(result: Comparison) -> DataTable:
    rows = result.rows()
    caption = "Each arm: means over seeds ± standard deviation; times to the target include the finder's cost"
    return DataTable(caption, tuple(rows[0]), [tuple(row.values()) for row in rows])


def _verdicts(result: Comparison) -> tuple[DataTable, ...]:
    rows = [
        (arm, f"{v.measure} (ratio)" if v.measure in TIMES else v.measure, v.kind, v.effect, v.low, v.high, v.p,
         v.probability, v.seeds)
        for arm in result.arms[1:]
        for v in result.verdicts[arm].values()
    ]  # fmt: skip
    headings = ("arm", "measure", "verdict", "effect", "95 % from", "to", "p", "chance to be better", "seeds")
    if not rows:
        return ()
    caption = f"Every verdict, against {result.baseline}, with the {interval_name(result)}"
    return (DataTable(caption, headings, rows, folded=True),)


def _runs(result: Comparison) -> DataTable:
    rows: list[tuple[Cell, ...]] = [_run_cells(run) for arm in result.arms for run in result.of(arm)]
    times = [f"{measure} to target" for measure in TIMES]
    headings = ("arm", "seed", "final", "best", "loss", "reached", *times, "diverged in epoch", "rate found")
    return DataTable("Every run", headings, rows, folded=True)


def _run_cells(run: MeasuredRun) -> tuple[Cell, ...]:
    times = [time_to_target(run, measure) for measure in TIMES]
    found: float | None = run["finder"].get("learning_rate") if run["finder"] else None
    metrics = (run["final"], run["best"], run["loss"], run["reached"])
    return (run["arm"], run["seed"], *metrics, *times, run["diverged"], found)


def _arm_settings(result: Comparison) -> tuple[DataTable, ...]:
    arms = result.config.get("arms")
    if not isinstance(arms, Mapping):
        return ()
    names = list(dict.fromkeys(name for arm in result.arms for name in arms.get(arm, {})))
    rows = [(arm, *(_setting(arms.get(arm, {}).get(name)) for name in names)) for arm in result.arms]
    headings = ("arm", *(name.replace("_", " ") for name in names))
    return (DataTable("How each arm trains", headings, rows, folded=True),)


def _setting(value: object) -> Cell:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, default=str) if value else None


def _settings(result: Comparison) -> dict[str, object]:
    better = "higher" if result.mode == "max" else "lower"
    target = "there is none" if not math.isfinite(result.target) else f"{result.target:.4g}, {result.target_from}"
    return {
        "metric": f"{result.metric}, {better} is better",
        "target": target,
        "difference that does not matter": "none was given" if result.margin is None else result.margin,
        "seeds": ", ".join(map(str, result.seeds)),
    } | {name: value for name, value in result.config.items() if name != "arms"}


def _code(result: Comparison) -> tuple[str, ...]:
    """Return the call and, where the command line can do the same, the command that repeat the comparison."""
    arms = ", ".join(f"{arm!r}: ..." for arm in result.arms)
    given: dict[str, object] = {"metric": result.metric, "mode": result.mode}
    given |= {name: result.config[name] for name in ("epochs", "batch_size") if result.config.get(name) is not None}
    # A target from the runs is computed again, so the call does not have it.
    given |= {"target": result.target} if result.target_from == "given before the runs" else {}
    given |= {} if result.margin is None else {"margin": result.margin}
    seeds = list(result.seeds)
    keywords = "".join(f", {name}={value!r}" for name, value in given.items())
    call = f"onecycle.compare(build, data, {{{arms}}}, seeds={seeds!r}{keywords})"
    if seeds != list(range(len(seeds))):  # the command takes the number of seeds only
        return (call,)
    options = "".join(f" --{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items())
    return (call, f"onecycle compare MODULE:FUNCTION --seeds {len(seeds)}{options}")
