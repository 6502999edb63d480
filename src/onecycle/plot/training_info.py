"""The data of a plot of training curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.plot.range_test_info import FOOTROOM, HEADROOM
from onecycle.results.metrics import metric_direction, reaches

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrainingRun:
    """The curve of one run.

    Attributes:
        name: Name of the run.
        values: `(epochs,)`, the metric after each epoch.
        reached: First epoch, counted from 1, that reaches the target, or None.
    """

    name: str
    values: Array
    reached: int | None


@dataclass(frozen=True)
class TrainingPicture:
    """Training curves, ready to draw.

    Attributes:
        runs: The runs, in order. Runs with the same name are seeds of one arm.
        labels: Name -> label in the legend: the name, and when its runs reached the target.
        metric: Name of the metric.
        target: Value to reach, or None.
        limits: (bottom, top) of the metric axis where a diverged run would flatten the others, or None.
    """

    runs: tuple[TrainingRun, ...]
    labels: dict[str, str]
    metric: str
    target: float | None
    limits: tuple[float, float] | None


def training_picture(
    runs: Mapping[str, object] | Iterable[tuple[str, object]], metric: str, target: float | None = None
) -> TrainingPicture:
    """Return the data of a plot of training curves.

    Args:
        runs: Name -> values per epoch, or name -> a `History.history` that has the metric; or pairs of these, where a
            name may occur several times (seeds of one arm).
        metric: Name of the metric, e.g. "val_accuracy".
        target: Value to reach, or None. Metrics such as accuracy reach it from below, losses and errors from above,
            and metrics with other names from the side on which most runs begin.

    Raises:
        TypeError: If a run is neither a sequence of values nor a `History.history`.
        ValueError: If a run lacks the metric or has more than one value per epoch.
    """
    pairs = list(runs.items() if isinstance(runs, Mapping) else runs)
    named = [(name, _values(name, run, metric)) for name, run in pairs]
    # A diverged run may have any value later, so directions and limits are judged by where the runs begin.
    starts = np.asarray([values[0] for _, values in named if len(values) and np.isfinite(values[0])])
    higher_is_better = _higher_is_better(metric, starts, target)
    curves = tuple(TrainingRun(name, values, _reached(values, target, higher_is_better)) for name, values in named)
    labels = {run.name: _label(run.name, curves, target) for run in curves}
    limits = None if higher_is_better else _limits(curves, starts, target)
    return TrainingPicture(curves, labels, metric, target, limits)


def _values(name: str, run: object, metric: str) -> Array:
    if isinstance(run, Mapping):
        if metric not in run:
            raise ValueError(f"Run {name!r} has no metric {metric!r}; it has {', '.join(map(str, run))}")
        run = run[metric]
    if not isinstance(run, Sequence | np.ndarray):
        raise TypeError(f"Run {name!r} must be values per epoch or a History.history. Received: {type(run).__name__}")
    values = np.asarray(run, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"Run {name!r} must have one value per epoch. Received: shape {values.shape}")
    return values


def _higher_is_better(metric: str, starts: Array, target: float | None) -> bool:
    direction = metric_direction(metric)
    if direction is not None or target is None or not len(starts):
        return direction != "min"
    return bool(np.median(starts) <= target)


def _label(name: str, runs: tuple[TrainingRun, ...], target: float | None) -> str:
    epochs = [run.reached for run in runs if run.name == name]
    # Runs of the same name are seeds of one arm and share a label.
    reached = sorted(epoch for epoch in epochs if epoch is not None)
    if target is None:
        return name
    if not reached:
        return f"{name}: target not reached"
    when = f"epoch {reached[0]}" if reached[0] == reached[-1] else f"epochs {reached[0]}-{reached[-1]}"
    share = "" if len(reached) == len(epochs) else f", {len(reached)} of {len(epochs)} runs"
    return f"{name}: target at {when}{share}"


def _limits(runs: tuple[TrainingRun, ...], starts: Array, target: float | None) -> tuple[float, float] | None:
    """Return limits that end a little above where the runs begin, or None if no run goes far beyond."""
    values = np.concatenate([run.values[np.isfinite(run.values)] for run in runs]) if runs else np.empty(0)
    if not len(values) or not len(starts):
        return None
    bottom = min(values.min(), np.inf if target is None else target)  # the target has to be visible
    span = starts.max() - bottom
    # Only if a run rises further above the start than the descent is long.
    if span <= 0 or values.max() <= starts.max() + span:
        return None
    return float(bottom - FOOTROOM * span), float(starts.max() + HEADROOM * span)


def _reached(values: Array, target: float | None, higher_is_better: bool) -> int | None:
    if target is None:
        return None
    reached = reaches(values, target, "max" if higher_is_better else "min")
    return int(np.argmax(reached)) + 1 if reached.any() else None
