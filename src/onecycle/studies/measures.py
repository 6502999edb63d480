"""From the records of a comparison to its measures and verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onecycle._comparison import METRIC_MEASURES, TIMES, RunRecord, Verdict
from onecycle.studies import statistics
from onecycle.studies.statistics import BETTER, SAME, UNKNOWN, WORSE

Run = Mapping[str, Any]

TIME_MARGIN = 1.1  # ours: of two times, a ratio within 1 / 1.1 and 1.1 does not matter
# As Keras' `mode="auto"` knows its metrics, and a few more.
FALLING = ("loss", "error", "mse", "mae", "mape", "msle", "rmse", "entropy", "perplexity", "hinge", "divergence")
RISING = ("acc", "auc", "precision", "recall", "f1", "r2", "iou", "dice", "bleu", "similarity")
NOT_MEASURED = "not measured"


def choose_metric(records: Iterable[RunRecord], metric: str | None) -> str:
    """Returns the metric to compare: the one asked for, else the first one on validation data that is not the loss.

    Raises:
        ValueError: If the runs do not have it.
    """
    names = list(dict.fromkeys(name for record in records for name in record.history))
    if metric is None:
        validated = [name for name in names if name.startswith("val_")]
        return next((name for name in validated if name != "val_loss"), "val_loss" if validated else "loss")
    if metric not in names:
        raise ValueError(f"Argument `metric` must be one of {', '.join(names)}. Received: metric={metric!r}")
    return metric


def choose_mode(metric: str, mode: str) -> str:
    """Returns "max" where higher is better and "min" where lower is.

    Raises:
        ValueError: For another mode, or a name that does not tell.
    """
    if mode in ("max", "min"):
        return mode
    if mode != "auto":
        raise ValueError(f'Argument `mode` must be "auto", "max" or "min". Received: mode={mode!r}')
    words = metric.lower().removeprefix("val_")
    if any(word in words for word in FALLING):
        return "min"
    if any(word in words for word in RISING):
        return "max"
    raise ValueError(
        f'The name {metric!r} does not tell whether higher is better: pass `mode="max"` or `mode="min"`. '
        f"Received: mode={mode!r}"
    )


def best_of(values: Sequence[float], mode: str) -> float:
    """Returns the best of the finite values; NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return math.nan
    return max(finite) if mode == "max" else min(finite)


def measured(record: RunRecord, metric: str, mode: str, target: float) -> dict[str, Any]:
    """Returns a run as a dict: its record, and what is measured of it."""
    values = record.history[metric]
    past = [value >= target if mode == "max" else value <= target for value in values]
    epoch = past.index(True) if True in past else None
    losses = record.history.get("val_loss", record.history["loss"])
    times = _times(record, epoch) if epoch is not None else dict.fromkeys(TIMES)
    return asdict(record) | {
        "final": values[-1],
        "best": best_of(values, mode),
        "loss": losses[-1],
        "reached": epoch is not None,
        **{f"{name}_to_target": value for name, value in times.items()},
    }


def verdicts(
    runs: Sequence[Run], arms: Sequence[str], mode: str, margin: float | None
) -> dict[str, dict[str, Verdict]]:
    """Returns the verdict on each arm but the first, by measure; p adjusted for the number of arms."""
    by_arm = {arm: {run["seed"]: run for run in runs if run["arm"] == arm} for arm in arms}
    found: dict[str, dict[str, Verdict]] = {arm: {} for arm in arms[1:]}
    for measure in (*METRIC_MEASURES, *TIMES):
        for arm, verdict in _verdicts_in(measure, by_arm, mode, margin).items():
            found[arm][measure] = verdict
    return found


def _times(record: RunRecord, epoch: int) -> dict[str, float | int | None]:
    """Steps, epochs, samples and seconds to the end of an epoch, counted from 0, the finder's included."""
    found = record.finder.get("steps", 0)
    per_epoch = record.steps[0] or 1
    samples = record.samples[epoch] + found * record.config["batch_size"] if record.samples else None
    return {
        "steps": record.steps[epoch] + found,
        "epochs": epoch + 1 + found / per_epoch if found else epoch + 1,
        "samples": samples,
        "seconds": record.seconds[epoch],
    }


def _verdicts_in(
    measure: str, by_arm: Mapping[str, Mapping[int, Run]], mode: str, margin: float | None
) -> dict[str, Verdict]:
    is_time = measure in TIMES
    margin = math.log(TIME_MARGIN) if is_time else margin if measure != "loss" else None
    baseline, *others = by_arm
    table = {arm: _column(runs, measure) for arm, runs in by_arm.items()}
    if is_time and not any(np.isfinite(column).any() for column in table.values()):
        return {arm: _nothing(arm, measure) for arm in others}
    sign = -1.0 if is_time or measure == "loss" or mode == "min" else 1.0
    table = _completed(table, by_arm, measure, sign)
    # Positive is better, whatever is measured.
    founds = [statistics.paired(sign * (table[arm] - table[baseline]), margin) for arm in others]
    result = {}
    for arm, one, (p, p_same) in zip(others, founds, statistics.adjusted(founds), strict=True):
        kind = statistics.decide(one, p, p_same)
        more = statistics.more_seeds(one, margin, len(others)) if kind == UNKNOWN else None
        ends = sorted((sign * one.low, sign * one.high))
        numbers = (sign * one.mean, *ends) if one.seeds > 1 else (sign * one.mean, math.nan, math.nan)
        if is_time:
            numbers = tuple(float(np.exp(number)) for number in numbers)
        shown = math.exp(margin) if is_time and margin is not None else margin
        sentence = _sentence(arm, baseline, measure, kind, numbers, p, one, more, by_arm, shown)
        effect, low, high = numbers
        result[arm] = Verdict(measure, kind, effect, low, high, p, one.probability, one.seeds, shown, more, sentence)
    return result


def _column(runs: Mapping[int, Run], measure: str) -> NDArray[np.float64]:
    """The measure of each seed; NaN where the run diverged or never came to the target, times as logarithms."""
    if measure not in TIMES:
        return np.array([runs[seed][measure] for seed in sorted(runs)], dtype=np.float64)
    values = [runs[seed][f"{measure}_to_target"] for seed in sorted(runs)]
    return np.log(np.array([math.nan if value is None else value for value in values], dtype=np.float64))


def _completed(
    table: dict[str, NDArray[np.float64]], by_arm: Mapping[str, Mapping[int, Run]], measure: str, sign: float
) -> dict[str, NDArray[np.float64]]:
    """The table with no hole: what is not finite counts as the worst of all runs, of times as the longest run."""
    known = np.concatenate(list(table.values()))
    known = known[np.isfinite(known)]
    worst = 0.0 if not len(known) else float(known.max() if sign < 0 else known.min())
    if measure in TIMES:
        lengths = [_length(run, measure) for runs in by_arm.values() for run in runs.values()]
        worst = max(worst, math.log(max(lengths)))
    return {arm: statistics.complete(column, worst) for arm, column in table.items()}


def _length(run: Run, measure: str) -> float:
    """How long a run was: what its time to the target is at least where it never came there."""
    record = RunRecord(**{name: run[name] for name in RunRecord.__dataclass_fields__})
    return float(_times(record, len(record.steps) - 1)[measure] or 1)


def _nothing(arm: str, measure: str) -> Verdict:
    sentence = f"{arm}: no run of any arm came to the target, so there are no {measure} to it to compare."
    nan = math.nan
    return Verdict(measure, NOT_MEASURED, nan, nan, nan, nan, nan, 0, None, None, sentence)


def _sentence(
    arm: str, baseline: str, measure: str, kind: str, numbers: Any, p: float, found: statistics.Paired,
    more: int | None, by_arm: Mapping[str, Mapping[int, Run]], margin: float | None,
) -> str:  # fmt: skip
    effect, low, high = numbers
    if measure in TIMES:
        what = f"{effect:.3g} times the {measure} to the target"
        reached = [sum(run["reached"] for run in by_arm[name].values()) for name in (arm, baseline)]
        note = f"; the target was reached by {reached[0]} of {found.seeds} runs, by {reached[1]} of {baseline}'s"
        note += ", the others counted as the longest run" if min(reached) < found.seeds else ""
    else:
        what = f"{effect:+.4g} in {measure} {'metric' if measure != 'loss' else 'value'}"
        note = ""
    interval = f" (95 % interval {low:.3g} to {high:.3g}, p = {p:.2g})" if found.seeds > 1 else ""
    words = {
        BETTER: f"better than {baseline}",
        WORSE: f"worse than {baseline}",
        SAME: f"no practical difference to {baseline}, whose margin is {margin:g}" if margin is not None else "",
        UNKNOWN: f"cannot tell yet against {baseline}"
        + (f" (about {more} more seeds would)" if more is not None else " (a thousand more seeds would not)"),
    }[kind]
    return f"{arm}: {words}: {what}{interval}{note}."
