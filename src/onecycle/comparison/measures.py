"""What is measured of each run, once all records of a comparison are there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from onecycle.comparison.statistics import t_interval
from onecycle.results.comparison import TIMES, RunRecord

Run = Mapping[str, Any]

# As Keras' `mode="auto"` knows its metrics, and a few more.
FALLING = ("loss", "error", "mse", "mae", "mape", "msle", "rmse", "entropy", "perplexity", "hinge", "divergence")
RISING = ("acc", "auc", "precision", "recall", "f1", "r2", "iou", "dice", "bleu", "similarity")


def shared_names(records: Iterable[RunRecord]) -> list[str]:
    """Returns the names that every run's history has."""
    first, *others = (record.history for record in records)
    return [name for name in first if all(name in history for history in others)]


def choose_metric(names: Sequence[str], metric: str | None) -> str:
    """Returns the metric to compare: the one asked for, else the first one on validation data that is not the loss.

    Args:
        names: Those that the runs' histories have.
        metric: The one asked for, or None.

    Raises:
        ValueError: If it is not one of the names.
    """
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


def best_of_baseline(records: Sequence[RunRecord], metric: str, mode: str) -> tuple[float, str]:
    """Returns the mean over seeds of the baseline's best, and where it is from, in words.

    The best of a run that diverged is from before it did, and would make the target one that is easily met.
    """
    lasting = [record for record in records if record.diverged is None]
    bests = [best_of(record.history[metric], mode) for record in lasting or records]
    finite = [best for best in bests if math.isfinite(best)]
    told = f"the mean over seeds of the best of {records[0].arm}"
    if 0 < len(lasting) < len(records):
        told += f", without the {len(records) - len(lasting)} that diverged"
    return (sum(finite) / len(finite) if finite else math.nan), told


def measured(record: RunRecord, metric: str, mode: str, target: float) -> dict[str, Any]:
    """Returns a run as a dict: its record, and what is measured of it.

    A run that diverged leaves nothing that one could use: whatever number its metric had last or before, it has none,
    and came to no target.
    """
    values = record.history[metric]
    lost = record.diverged is not None
    past = [not lost and (value >= target if mode == "max" else value <= target) for value in values]
    epoch = past.index(True) if True in past else None
    losses = record.history.get("val_loss", record.history["loss"])
    reached = dict.fromkeys(TIMES) if epoch is None else times(asdict(record), epoch)
    return asdict(record) | {
        "final": math.nan if lost else values[-1],
        "best": math.nan if lost else best_of(values, mode),
        "loss": math.nan if lost else losses[-1],
        "reached": epoch is not None,
        "censored_at": whole_length(asdict(record)) if epoch is None else None,
        **{f"{name}_to_target": value for name, value in reached.items()},
    }


def record_of(run: Run) -> RunRecord:
    """Returns the record that a run was measured from."""
    return RunRecord(**{field.name: run[field.name] for field in fields(RunRecord)})


def times(run: Run, epoch: int) -> dict[str, float | None]:
    """Returns steps, epochs, samples and seconds of a run up to the end of an epoch, counted from 0.

    The finder's cost is in all of them: as steps, as the part of an epoch that those are, as the rows it has read,
    and as the time before the training proper.
    """
    found = run["finder"].get("steps", 0)
    rows = run["samples"][epoch] + found * run["config"]["batch_size"] if run["samples"] else None
    return {
        "steps": run["steps"][epoch] + found,
        "epochs": epoch + 1 + (found / max(run["steps"][0], 1) if found else 0),
        "samples": rows,
        "seconds": run["seconds"][epoch],
    }


def whole_length(run: Run) -> dict[str, float | None]:
    """Returns how long a run was, as times to its last epoch."""
    return times(run, len(run["steps"]) - 1)


def mean_curves(runs: Sequence[Run], arms: Sequence[str], metric: str) -> dict[str, dict[str, list[float]]]:
    """Returns each arm's mean of the metric after each epoch, and its interval, over the runs with a number there."""
    return {arm: _mean_curve([run["history"][metric] for run in runs if run["arm"] == arm]) for arm in arms}


def _mean_curve(histories: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    curve: dict[str, list[float]] = {"mean": [], "low": [], "high": []}
    for epoch in range(max(map(len, histories), default=0)):
        values = [history[epoch] for history in histories if len(history) > epoch and math.isfinite(history[epoch])]
        for column, number in zip(curve.values(), t_interval(np.asarray(values, dtype=np.float64)), strict=True):
            column.append(float(number))
    return curve
