"""The measures of each run, computed when all runs have ended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from onecycle.comparison.errors import SettingError
from onecycle.comparison.statistics import t_interval
from onecycle.results.metrics import Direction, check_mode, metric_direction, reaches
from onecycle.results.runs import TIMES, MeasuredRun, RunRecord, finder_epochs


def shared_metrics(records: Iterable[RunRecord]) -> list[str]:
    """Return the names of the metrics that are in the history of every run."""
    first, *others = (record.history for record in records)
    return [name for name in first if all(name in history for history in others)]


def choose_metric(names: Sequence[str], metric: str | None) -> str:
    """Return the metric to compare: the requested one, or the first one on validation data that is not the loss.

    Args:
        names: Names of the metrics in the histories of the runs.
        metric: Name of the requested metric, or None.

    Returns:
        The name. Without a requested metric and without validation data it is "loss".

    Raises:
        SettingError: If `metric` is not one of `names`.
    """
    if metric is None:
        validated = [name for name in names if name.startswith("val_")]
        return next((name for name in validated if name != "val_loss"), "val_loss" if validated else "loss")
    if metric not in names:
        raise SettingError(f"Argument `metric` must be one of {', '.join(names)}. Received: metric={metric!r}")
    return metric


def choose_mode(metric: str, mode: str) -> Direction:
    """Return "max" where higher is better and "min" where lower is better.

    Args:
        metric: Name of the metric.
        mode: "max", "min", or "auto" to infer the direction from the name.

    Raises:
        ValueError: If `mode` is none of these; a `SettingError` if the direction cannot be inferred.
    """
    if check_mode(mode) != "auto":
        return "max" if mode == "max" else "min"
    direction = metric_direction(metric)
    if direction is not None:
        return direction
    raise SettingError(
        f"The name {metric!r} does not show whether a higher or a lower value is better. "
        f'Pass `mode="max"` or `mode="min"`. Received: mode={mode!r}'
    )


def best_value(values: Sequence[float], mode: str) -> float:
    """Return the best of the finite values for this mode ("max" or "min"), or NaN if there is none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return math.nan
    return max(finite) if mode == "max" else min(finite)


def baseline_target(records: Sequence[RunRecord], metric: str, mode: str) -> tuple[float, str]:
    """Return the mean over seeds of the baseline's best value, and a description of where the target comes from.

    Runs that diverged are left out if there are others: their best value is from before they diverged and would make
    the target easy to reach.

    Args:
        records: Records of the baseline's runs.
        metric: Name of the metric.
        mode: "max" or "min".
    """
    finished = [record for record in records if record.diverged is None]
    bests = [best_value(record.history[metric], mode) for record in finished or records]
    finite = [best for best in bests if math.isfinite(best)]
    source = f"the best value of {records[0].arm}, averaged over seeds"
    diverged = len(records) - len(finished)
    if 0 < diverged < len(records):
        source += f", without {diverged} run{'s' if diverged > 1 else ''} that diverged"
    return (sum(finite) / len(finite) if finite else math.nan), source


def measured_run(record: RunRecord, metric: str, mode: str, target: float) -> MeasuredRun:
    """Return the record of a run together with its measures.

    A run that diverged has no final or best value and did not reach the target, whatever its metric was before.

    Args:
        record: Record of the run.
        metric: Name of the metric.
        mode: "max" or "min".
        target: Value of the metric that times are counted to. No run reaches a target of NaN.
    """
    values = record.history[metric]
    diverged = record.diverged is not None
    epoch = None if diverged else _first_epoch_at(target, values, mode)
    # The loss on validation data, if there is any.
    losses = record.history.get("val_loss", record.history["loss"])
    times: Mapping[str, float | None] = dict.fromkeys(TIMES) if epoch is None else elapsed(record, epoch)
    return MeasuredRun(
        arm=record.arm,
        seed=record.seed,
        identity=record.identity,
        config=record.config,
        history=record.history,
        steps=record.steps,
        samples=record.samples,
        seconds=record.seconds,
        finder=record.finder,
        diverged=record.diverged,
        versions=record.versions,
        machine=record.machine,
        final=math.nan if diverged else values[-1],
        best=math.nan if diverged else best_value(values, mode),
        loss=math.nan if diverged else losses[-1],
        reached=epoch is not None,
        censored_at=elapsed(record, len(record.steps) - 1) if epoch is None else None,
        steps_to_target=times["steps"],
        epochs_to_target=times["epochs"],
        samples_to_target=times["samples"],
        seconds_to_target=times["seconds"],
    )


def record_of(run: MeasuredRun) -> RunRecord:
    """Return the record of a measured run."""
    return RunRecord(
        arm=run["arm"],
        seed=run["seed"],
        identity=run["identity"],
        config=run["config"],
        history=run["history"],
        steps=run["steps"],
        samples=run["samples"],
        seconds=run["seconds"],
        finder=run["finder"],
        diverged=run["diverged"],
        versions=run["versions"],
        machine=run["machine"],
    )


def elapsed(record: RunRecord, epoch: int) -> dict[str, float | None]:
    """Return the steps, epochs, samples and seconds of a run by the end of an epoch, the finder's cost included.

    The finder's cost counts as its steps, as the fraction of an epoch they make up, as the samples it read, and as the
    time before the training itself.

    Args:
        record: Record of the run.
        epoch: Index of the epoch, counted from 0.

    Returns:
        Measure -> value. The samples are None if they cannot be counted.
    """
    finder_steps = record.finder.get("steps", 0)
    samples = record.samples[epoch] + finder_steps * record.config["batch_size"] if record.samples else None
    return {
        "steps": record.steps[epoch] + finder_steps,
        "epochs": epoch + 1 + finder_epochs(record),
        "samples": samples,
        "seconds": record.seconds[epoch],
    }


def mean_curves(runs: Sequence[MeasuredRun], arms: Sequence[str], metric: str) -> dict[str, dict[str, list[float]]]:
    """Return the mean of the metric and its 95 % interval after each epoch, over the runs with a finite value there.

    Args:
        runs: Runs of a comparison.
        arms: Names of the arms.
        metric: Name of the metric.

    Returns:
        Arm -> "mean", "low" and "high", each a list with one value per epoch.
    """
    return {arm: _mean_curve([run["history"][metric] for run in runs if run["arm"] == arm]) for arm in arms}


def _first_epoch_at(target: float, values: Sequence[float], mode: str) -> int | None:
    reached = np.flatnonzero(reaches(values, target, mode))
    return int(reached[0]) if len(reached) else None


def _mean_curve(histories: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    curve: dict[str, list[float]] = {"mean": [], "low": [], "high": []}
    for epoch in range(max(map(len, histories), default=0)):
        values = [history[epoch] for history in histories if len(history) > epoch and math.isfinite(history[epoch])]
        for column, number in zip(curve.values(), t_interval(np.asarray(values, dtype=np.float64)), strict=True):
            column.append(float(number))
    return curve
