"""The plain data of each picture: what is drawn, not how. No matplotlib, no keras."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle.results.range_test import RangeTest
from onecycle.suggestions.smoothing import half_window, median_over_repeats

Array = NDArray[np.float64]

HEADROOM = 0.25  # ours: room above the starting level, in units of the shown range: the explosion is seen to begin
FOOTROOM = 0.08  # ours
RISING_WORDS = ("acc", "auc", "precision", "recall", "f1", "r2", "iou")  # as Keras' `mode="auto"` knows its metrics
FALLING_WORDS = ("loss", "error", "mse", "mae", "entropy", "perplexity")
SHOWN_QUANTILES = (0.01, 0.99)  # ours: raw points beyond these do not set the limits


@dataclass(frozen=True)
class Mark:
    """A rule's suggestion on the curve.

    Attributes:
        rule: the rule's name.
        learning_rate: the suggested rate.
        loss: the smoothed loss there, for the height of the mark.
        chosen: whether this is the deciding rule's.
    """

    rule: str
    learning_rate: float
    loss: float
    chosen: bool


@dataclass(frozen=True)
class RangeTestPicture:
    """A range test, ready to draw.

    Attributes:
        learning_rates: (n,) rates.
        points: (n,) raw losses; with repeats their median. NaN where not finite.
        band: (2, n) lowest and highest loss over repeats, or None for one run.
        smoothed: (n,) smoothed loss.
        marks: the suggestions that have a number, the deciding one first.
        missing: names of the rules that suggest nothing.
        blow_up: rate at which the loss shoots up, or None.
        non_finite: rates at which the loss was NaN or infinite.
        limits: (bottom, top) of the loss axis; an explosion leaves it through the top.
        logarithmic: whether the rate axis is logarithmic; False for a linear ramp.
        title: the verdict in one line.
        caption: where the number comes from, and how the test ended.
    """

    learning_rates: Array
    points: Array
    band: Array | None
    smoothed: Array
    marks: tuple[Mark, ...]
    missing: tuple[str, ...]
    blow_up: float | None
    non_finite: Array
    limits: tuple[float, float]
    logarithmic: bool
    title: str
    caption: str


@dataclass(frozen=True)
class SchedulePicture:
    """A schedule, ready to draw: values (T,) of steps 0 ... T-1, momentum (T,) or None, phases (name, start, stop)."""

    values: Array
    momentum: Array | None
    phases: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class TrainingRun:
    """One run's curve: name, values (epochs,), and the epoch, counted from 1, that first reaches the target."""

    name: str
    values: Array
    reached: int | None


@dataclass(frozen=True)
class TrainingPicture:
    """Training curves, ready to draw.

    Attributes:
        runs: the runs, in order; runs of one name belong together.
        labels: name -> what the legend says: the name, and when its runs reached the target.
        metric: the metric's name.
        target: value to reach, or None.
        limits: (bottom, top) of the metric axis where a diverged run would flatten the others, or None.
    """

    runs: tuple[TrainingRun, ...]
    labels: dict[str, str]
    metric: str
    target: float | None
    limits: tuple[float, float] | None


def range_test_picture(result: RangeTest) -> RangeTestPicture:
    """Returns what a picture of this range test shows."""
    middle = median_over_repeats(result.losses)
    points = np.where(np.isfinite(middle), middle, np.nan)
    band = _band(result.losses) if result.losses.ndim == 2 and len(result.losses) > 1 else None
    marks = [
        Mark(name, suggestion.learning_rate, _height(result, suggestion.learning_rate), name == result.rule)
        for name, suggestion in result.suggestions.items()
        if suggestion.learning_rate is not None
    ]
    article = result.suggestions.get("blow_up")
    blow_up = None if article is None else article.seen_at
    rate = result.suggestion.learning_rate
    return RangeTestPicture(
        learning_rates=result.learning_rates,
        points=points,
        band=band,
        smoothed=result.smoothed,
        marks=tuple(sorted(marks, key=lambda mark: not mark.chosen)),
        missing=tuple(name for name, suggestion in result.suggestions.items() if suggestion.learning_rate is None),
        blow_up=blow_up,
        non_finite=result.learning_rates[~np.isfinite(middle)],
        limits=_limits(points, result.smoothed, result.learning_rates, blow_up),
        logarithmic=result.spacing != "linear",
        title="No learning rate suggested" if rate is None else f"Suggested learning rate: {rate:.3g}",
        caption=f"{result.suggestion.reason} {result.ending}",
    )


def schedule_picture(
    values: ArrayLike, momentum: ArrayLike | None = None, phases: Iterable[tuple[str, float, float]] = ()
) -> SchedulePicture:
    """Returns what a picture of a schedule shows.

    Args:
        values: float array, (T,), rate of steps 0 ... T-1.
        momentum: float array, (T,), or None.
        phases: (name, start, stop) in steps, in order.
    """
    rates = np.asarray(values, dtype=np.float64)
    other = None if momentum is None else np.asarray(momentum, dtype=np.float64)
    if rates.ndim != 1 or (other is not None and other.shape != rates.shape):
        raise ValueError(
            "Arguments `values` and `momentum` must have one number a step. "
            f"Received: shapes {rates.shape} and {None if other is None else other.shape}"
        )
    return SchedulePicture(rates, other, tuple((str(name), float(a), float(b)) for name, a, b in phases))


def training_picture(
    runs: Mapping[str, object] | Iterable[tuple[str, object]], metric: str, target: float | None = None
) -> TrainingPicture:
    """Returns what a picture of training curves shows.

    Args:
        runs: name -> values per epoch, or name -> a `History.history` that has the metric; or pairs of those, where
            a name may come several times (seeds of one arm).
        metric: what the values are, e.g. "val_accuracy".
        target: value to reach, or None: from below for accuracy and the like, from above for losses and errors,
            and for other names from the side on which most runs begin.
    """
    pairs = list(runs.items() if isinstance(runs, Mapping) else runs)
    named = [(name, _values(name, run, metric)) for name, run in pairs]
    starts = np.asarray([values[0] for _, values in named if len(values) and np.isfinite(values[0])])
    rising = _is_rising(metric, starts, target)
    done = tuple(TrainingRun(name, values, _reached(values, target, rising)) for name, values in named)
    labels = {run.name: _label(run.name, done, target) for run in done}
    return TrainingPicture(done, labels, metric, target, None if rising else _training_limits(done, starts, target))


def _band(losses: Array) -> Array:
    finite = np.isfinite(losses)
    low = np.where(finite, losses, np.inf).min(axis=0)
    high = np.where(finite, losses, -np.inf).max(axis=0)
    return np.where(finite.any(axis=0), np.stack([low, high]), np.nan)


def _height(result: RangeTest, rate: float) -> float:
    good = np.isfinite(result.smoothed)
    return float(np.interp(np.log(rate), np.log(result.learning_rates[good]), result.smoothed[good]))


def _limits(points: Array, smoothed: Array, rates: Array, blow_up: float | None) -> tuple[float, float]:
    """Limits from the part before the blow-up, so that 1e30 at the end does not flatten the rest to a line."""
    calm = np.isfinite(points) & (rates < blow_up if blow_up is not None else True)
    if not calm.any():
        calm = np.isfinite(points)
    if not calm.any():
        return 0.0, 1.0
    low, high = np.quantile(points[calm], SHOWN_QUANTILES)
    bottom = min(low, smoothed[calm].min())
    # Without a blow-up nothing else keeps a late explosion out: the median curve of a calm test is all below this.
    start = points[calm][: 2 * half_window(int(calm.sum())) + 1]
    top = max(high, smoothed[calm].max()) if blow_up is not None else max(np.quantile(points[calm], 0.9), start.max())
    span = top - bottom
    if span <= 1e-6 * max(abs(top), abs(bottom)):
        span = max(abs(top), 1e-6) * 0.1
    return float(bottom - FOOTROOM * span), float(top + HEADROOM * span)


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


def _is_rising(metric: str, starts: Array, target: float | None) -> bool:
    words = metric.lower().removeprefix("val_")
    if any(word in words for word in FALLING_WORDS):
        return False
    if any(word in words for word in RISING_WORDS) or target is None or not len(starts):
        return True
    return bool(np.median(starts) <= target)


def _label(name: str, runs: tuple[TrainingRun, ...], target: float | None) -> str:
    epochs = [run.reached for run in runs if run.name == name]
    there = sorted(epoch for epoch in epochs if epoch is not None)
    if target is None:
        return name
    if not there:
        return f"{name}: target not reached"
    when = f"epoch {there[0]}" if there[0] == there[-1] else f"epochs {there[0]}-{there[-1]}"
    share = "" if len(there) == len(epochs) else f", {len(there)} of {len(epochs)} runs"
    return f"{name}: target at {when}{share}"


def _training_limits(runs: tuple[TrainingRun, ...], starts: Array, target: float | None) -> tuple[float, float] | None:
    values = np.concatenate([run.values[np.isfinite(run.values)] for run in runs]) if runs else np.empty(0)
    if not len(values) or not len(starts):
        return None
    bottom = min(values.min(), np.inf if target is None else target)
    span = starts.max() - bottom
    if span <= 0 or values.max() <= starts.max() + span:
        return None
    return float(bottom - FOOTROOM * span), float(starts.max() + HEADROOM * span)


def _reached(values: Array, target: float | None, rising: bool) -> int | None:
    if target is None:
        return None
    past = values >= target if rising else values <= target
    return int(np.argmax(past)) + 1 if past.any() else None
