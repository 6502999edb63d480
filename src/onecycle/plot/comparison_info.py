"""The data of a comparison's plots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.results.comparison import Comparison, Verdict
from onecycle.results.metrics import reaches
from onecycle.results.runs import MEASURES, MeasuredRun, finder_epochs

Array = NDArray[np.float64]

HEADROOM = 0.08  # ours: room around the curves, as a fraction of their range
SHOWN_QUANTILES = (0.02, 0.98)  # ours: values of a diverged run outside these do not set the limits
EDGE = 1.2  # ours: a difference without a size is drawn at this multiple of the largest difference
MAX_LINES = 60  # ours: more runs than this would hide their means, so they are not drawn one by one
TIME_LABELS = {
    "steps": "training steps to the target",
    "epochs": "epochs to the target",
    "samples": "samples to the target",
    "seconds": "seconds to the target",
}


@dataclass(frozen=True)
class ArmCurve:
    """The training curves of one arm.

    Attributes:
        label: Label in the legend: the name, when the runs reached the target, and how many did.
        runs: Values `(epochs,)` of each seed; the lengths may differ.
        mean: `(epochs,)`, mean over seeds.
        low: `(epochs,)`, lower end of the mean's interval; NaN where there is none.
        high: `(epochs,)`, upper end of the mean's interval.
        crossing: (epoch, value) where the mean first reaches the target, epochs counted from 1, or None.
        diverged: (epoch, value) of the last finite value of each run that diverged.
    """

    label: str
    runs: tuple[Array, ...]
    mean: Array
    low: Array
    high: Array
    crossing: tuple[float, float] | None
    diverged: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class ComparisonPicture:
    """The training curves of a comparison, ready to draw.

    Attributes:
        curves: The arms, the baseline first.
        metric: Name of the metric.
        target: Value to reach, or None if there is none.
        limits: (bottom, top) of the metric axis, or None if no value is finite.
        caption: The meaning of the band and of the thin lines.
        each_run: Whether every run is drawn beside the means.
    """

    curves: tuple[ArmCurve, ...]
    metric: str
    target: float | None
    limits: tuple[float, float] | None
    caption: str
    each_run: bool


@dataclass(frozen=True)
class ArmDifferences:
    """The differences between one arm and the baseline.

    Attributes:
        name: Name of the arm.
        values: `(seeds,)`, differences, or ratios. Infinite ones are placed beyond all others.
        censored: `(seeds,)`, whether a difference is only a bound.
        infinite: `(seeds,)`, whether one of the two runs diverged, so that the difference has a sign but no size.
        verdict: The verdict in a few words.
        effect: Mean of the differences.
        interval: (low, high) of the mean, or None if it has none.
    """

    name: str
    values: Array
    censored: NDArray[np.bool_]
    infinite: NDArray[np.bool_]
    verdict: str
    effect: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class DifferencesPicture:
    """Paired differences, ready to draw.

    Attributes:
        arms: The arms without the baseline.
        label: Label of the axis.
        zero: Value that means no difference: 0, or 1 for ratios.
        ratios: Whether the values are ratios, which need a logarithmic axis.
        margin: (low, high) of the differences that do not matter, or None.
        better: Side on which an arm is better than the baseline, "right" or "left".
        interval_name: The level of the intervals in words.
    """

    arms: tuple[ArmDifferences, ...]
    label: str
    zero: float
    ratios: bool
    margin: tuple[float, float] | None
    better: str
    interval_name: str

    @property
    def better_label(self) -> str:
        """The side on which an arm is better, with an arrow that points there."""
        return "← better" if self.better == "left" else "better →"


def comparison_picture(result: Comparison) -> ComparisonPicture:
    """Return the data of a plot of a comparison's training curves."""
    curves = tuple(_curve(result, arm) for arm in result.arms)
    target = result.target if np.isfinite(result.target) else None
    each_run = len(result.seeds) > 1 and len(result.runs) <= MAX_LINES
    caption = (
        "thick: mean over seeds, each with its own 95 % interval" if len(result.seeds) > 1 else "one seed: no interval"
    )
    caption += "; thin: each seed" if each_run else ""
    return ComparisonPicture(curves, result.metric, target, _limits(curves, target, result.mode), caption, each_run)


def differences_picture(result: Comparison, measure: str = "final") -> DifferencesPicture:
    """Return the data of a plot of the differences in one measure.

    Args:
        result: The comparison.
        measure: One of `onecycle.results.runs.MEASURES`.

    Raises:
        ValueError: If `measure` is none of them.
    """
    if measure not in MEASURES:
        raise ValueError(f"Argument `measure` must be one of {', '.join(MEASURES)}. Received: measure={measure!r}")
    verdicts = {arm: result.verdicts[arm][measure] for arm in result.arms[1:]}
    ratios = measure in TIME_LABELS
    measured = {arm: verdict for arm, verdict in verdicts.items() if verdict.seeds}
    largest = _largest_difference(measured.values(), ratios)
    lower_is_better = ratios or measure == "loss" or result.mode == "min"
    return DifferencesPicture(
        arms=tuple(_differences(arm, verdict, largest, ratios) for arm, verdict in measured.items()),
        label=_axis_label(result, measure),
        zero=1.0 if ratios else 0.0,
        ratios=ratios,
        margin=_margin(next((verdict.margin for verdict in verdicts.values()), None), ratios),
        better="left" if lower_is_better else "right",
        interval_name=interval_name(result),
    )


def interval_name(result: Comparison) -> str:
    """Return the level of the intervals of the differences in words."""
    return next((verdict.interval_name for arm in result.arms[1:] for verdict in result.verdicts[arm].values()), "")


def _curve(result: Comparison, arm: str) -> ArmCurve:
    runs = result.of(arm)
    values = tuple(np.asarray(run["history"][result.metric], dtype=np.float64) for run in runs)
    mean, low, high = (np.asarray(result.curves[arm][name], dtype=np.float64) for name in ("mean", "low", "high"))
    ends = [
        (int(np.flatnonzero(np.isfinite(curve))[-1]) + 1, float(curve[np.isfinite(curve)][-1]))
        for run, curve in zip(runs, values, strict=True)
        if run["diverged"] is not None and np.isfinite(curve).any()
    ]
    crossing = _crossing(mean, result.target, result.mode)
    label = _label(arm, runs, has_target=bool(np.isfinite(result.target)))
    return ArmCurve(label, values, mean, low, high, crossing, tuple(ends))


def _crossing(mean: Array, target: float, mode: str) -> tuple[float, float] | None:
    """Return epoch and value where a mean first reaches the target, or None."""
    reached = reaches(mean, target, mode)
    if not reached.any():
        return None
    epoch = int(np.argmax(reached))
    return float(epoch + 1), float(mean[epoch])


def _label(arm: str, runs: tuple[MeasuredRun, ...], *, has_target: bool) -> str:
    reached = [run for run in runs if run["epochs_to_target"] is not None]
    # The axis of the plot has the epochs of the training alone.
    epochs = [(run["epochs_to_target"] or 0.0) - finder_epochs(run) for run in reached]
    search = float(np.mean([finder_epochs(run) for run in reached])) if reached else 0.0
    diverged = sum(run["diverged"] is not None for run in runs)
    label = f"{arm}: target after {np.mean(epochs):.3g} epochs" if epochs else f"{arm}: target never reached"
    if not has_target:
        label = arm
    label += f" and {search:.3g} for the search" if has_target and search else ""
    label += f" ({len(epochs)} of {len(runs)})" if 0 < len(epochs) < len(runs) else ""
    return label + (f", {diverged} diverged" if diverged else "")


def _limits(curves: tuple[ArmCurve, ...], target: float | None, mode: str) -> tuple[float, float] | None:
    """Return limits from the later half of most runs, plus at most the same range on the side where the runs begin.

    So neither a run that diverges nor the first epochs flatten the rest to a line.

    Args:
        curves: The arms.
        target: Value that has to be visible, or None.
        mode: "max" or "min", the direction of the metric.
    """
    everything = [values[np.isfinite(values)] for curve in curves for values in (*curve.runs, curve.mean)]
    values = np.concatenate(everything)
    if not len(values):
        return None
    low, high = np.quantile(np.concatenate([curve[len(curve) // 2 :] for curve in everything]), SHOWN_QUANTILES)
    if target is not None:
        low, high = min(low, target), max(high, target)
    first, last = np.quantile(values, SHOWN_QUANTILES)
    span = high - low
    # The side where the runs begin: at most as much again, and nothing beyond the values that occur.
    if mode == "min":
        high = max(high, min(high + span, last))
    else:
        low = min(low, max(low - span, first))
    room = HEADROOM * (high - low) or 0.05 * max(abs(high), 1e-6)
    return float(low - room), float(high + room)


def _largest_difference(verdicts: Iterable[Verdict], ratios: bool) -> float:
    """Return the largest finite distance from no difference; for ratios as a logarithm. 1 where there is none."""
    values = [value for verdict in verdicts for value in (*verdict.differences, verdict.low, verdict.high)]
    sizes = np.abs(_on_axis(np.array(values, dtype=np.float64), ratios))
    return float(np.max(sizes[np.isfinite(sizes)], initial=0.0)) or 1.0


def _on_axis(values: Array, ratios: bool) -> Array:
    with np.errstate(divide="ignore"):  # a ratio of 0 is infinitely far from 1, as is a ratio of infinity
        return np.log(values) if ratios else values


def _differences(arm: str, verdict: Verdict, largest: float, ratios: bool) -> ArmDifferences:
    # The size of an infinite difference is unknown, so it is placed a little beyond the largest one.
    on_axis = _on_axis(np.asarray(verdict.differences, dtype=np.float64), ratios)
    infinite = np.isinf(on_axis)
    placed = np.where(infinite, np.sign(on_axis) * EDGE * largest, on_axis)
    interval = (verdict.low, verdict.high) if np.isfinite([verdict.low, verdict.high]).all() else None
    more_seeds = "" if verdict.more_seeds is None else f", about {verdict.more_seeds} more seeds needed"
    return ArmDifferences(
        name=arm,
        values=np.exp(placed) if ratios else placed,
        infinite=infinite,
        censored=np.asarray(verdict.censored, dtype=bool),
        verdict=verdict.kind + more_seeds,
        effect=verdict.effect,
        interval=interval,
    )


def _axis_label(result: Comparison, measure: str) -> str:
    if measure in TIME_LABELS:
        return f"{TIME_LABELS[measure]}: ratio to {result.baseline}"
    what = "loss after the last epoch" if measure == "loss" else f"{measure} {result.metric}"
    return f"{what}: difference to {result.baseline}"


def _margin(margin: float | None, ratios: bool) -> tuple[float, float] | None:
    if margin is None:
        return None
    return (1 / margin, margin) if ratios else (-margin, margin)
