"""The plain data of a comparison's pictures: what is drawn, not how. No matplotlib, no keras."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.results.comparison import MEASURES, Comparison, Verdict

Array = NDArray[np.float64]

HEADROOM = 0.08  # ours: room around what is shown, as a part of it
SHOWN_QUANTILES = (0.02, 0.98)  # ours: what a diverged run has beyond them does not set the limits
EDGE = 1.2  # ours: so far out, over the largest difference, stands one without a size
MOST_LINES = 60  # ours: more runs than this would hide their means, and are not drawn one by one
TIME_WORDS = {
    "steps": "training steps to the target",
    "epochs": "epochs to the target",
    "samples": "samples to the target",
    "seconds": "seconds to the target",
}


@dataclass(frozen=True)
class ArmCurve:
    """One arm's training curves.

    Attributes:
        label: what the legend says: the name, and how many runs came to the target, when.
        runs: each seed's values (epochs,), as long as it was.
        mean: (epochs,) over seeds.
        low: (epochs,) lower end of the mean's interval; NaN where there is none.
        high: (epochs,) its upper end.
        crossing: (epoch, value) where the mean first meets the target, epochs counted from 1; or None.
        diverged: (epoch, value) of the last finite value of each run that ended in NaN.
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
    """A comparison's training curves, ready to draw.

    Attributes:
        curves: the arms, the baseline first.
        metric: the metric's name.
        target: the value to reach, or None where there is none.
        limits: (bottom, top) of the metric axis, or None where no value is finite.
        caption: what the band and the thin lines are.
        each_run: whether every run is drawn beside the means.
    """

    curves: tuple[ArmCurve, ...]
    metric: str
    target: float | None
    limits: tuple[float, float] | None
    caption: str
    each_run: bool


@dataclass(frozen=True)
class ArmDifferences:
    """One arm's differences to the baseline.

    Attributes:
        name: the arm's.
        values: (seeds,) differences, or ratios; infinite ones stand beyond all others.
        censored: (seeds,) whether each is only a bound.
        infinite: (seeds,) whether one of the two runs diverged, so that the difference has a side and no size.
        verdict: the verdict in a few words.
        effect: their mean.
        interval: (low, high) of the mean, or None below 2 seeds.
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
        arms: the arms but the baseline.
        label: what the axis shows.
        zero: the value that means no difference: 0, or 1 for ratios.
        ratios: whether the values are ratios, for a logarithmic axis.
        margin: (low, high) of what does not matter, or None.
        better: "right" or "left": on which side an arm is better than the baseline.
    """

    arms: tuple[ArmDifferences, ...]
    label: str
    zero: float
    ratios: bool
    margin: tuple[float, float] | None
    better: str


def comparison_picture(result: Comparison) -> ComparisonPicture:
    """Returns what a picture of a comparison's training curves shows."""
    curves = tuple(_curve(result, arm) for arm in result.arms)
    target = result.target if np.isfinite(result.target) else None
    each_run = len(result.seeds) > 1 and len(result.runs) <= MOST_LINES
    caption = "thick: mean over seeds, with its 95 % interval" if len(result.seeds) > 1 else "one seed: no interval"
    caption += "; thin: each seed" if each_run else ""
    return ComparisonPicture(curves, result.metric, target, _limits(curves, target, result.mode), caption, each_run)


def differences_picture(result: Comparison, measure: str = "final") -> DifferencesPicture:
    """Returns what a picture of the differences in one measure shows.

    Raises:
        ValueError: for a measure that there is not.
    """
    verdicts = {arm: result.verdicts[arm] for arm in result.arms[1:]}
    if measure not in MEASURES:
        raise ValueError(f"Argument `measure` must be one of {', '.join(MEASURES)}. Received: measure={measure!r}")
    ratios = measure in TIME_WORDS
    what = TIME_WORDS.get(measure, f"{measure} {result.metric}" if measure != "loss" else "loss after the last epoch")
    there = {arm: of[measure] for arm, of in verdicts.items() if of[measure].seeds}
    furthest = _furthest(there.values(), ratios)
    arms = tuple(_differences(arm, verdict, furthest, ratios) for arm, verdict in there.items())
    margin = next((of[measure].margin for of in verdicts.values()), None)
    falling = ratios or measure == "loss" or result.mode == "min"
    return DifferencesPicture(
        arms=arms,
        label=f"{what}: ratio to {result.baseline}" if ratios else f"{what}: difference to {result.baseline}",
        zero=1.0 if ratios else 0.0,
        ratios=ratios,
        margin=None if margin is None else (1 / margin, margin) if ratios else (-margin, margin),
        better="left" if falling else "right",
    )


def _curve(result: Comparison, arm: str) -> ArmCurve:
    runs = result.of(arm)
    values = tuple(np.asarray(run["history"][result.metric], dtype=np.float64) for run in runs)
    mean, low, high = (np.asarray(result.curves[arm][name], dtype=np.float64) for name in ("mean", "low", "high"))
    ends = [
        (int(np.flatnonzero(np.isfinite(own))[-1]) + 1, float(own[np.isfinite(own)][-1]))
        for run, own in zip(runs, values, strict=True)
        if run["diverged"] is not None and np.isfinite(own).any()
    ]
    crossing = _crossing(mean, result.target, result.mode)
    return ArmCurve(_label(result, arm), values, mean, low, high, crossing, tuple(ends))


def _crossing(mean: Array, target: float, mode: str) -> tuple[float, float] | None:
    past = mean >= target if mode == "max" else mean <= target
    if not past.any():
        return None
    epoch = int(np.argmax(past))
    return float(epoch + 1), float(mean[epoch])


def _label(result: Comparison, arm: str) -> str:
    runs = result.of(arm)
    there = [run["epochs_to_target"] for run in runs if run["reached"]]
    diverged = sum(run["diverged"] is not None for run in runs)
    label = f"{arm}: target never" if not there else f"{arm}: target after {np.mean(there):.3g} epochs"
    label += ", finder included" if there and any(run["finder"] for run in runs) else ""
    label += f" ({len(there)} of {len(runs)})" if 0 < len(there) < len(runs) else ""
    return label + (f", {diverged} diverged" if diverged else "")


def _limits(curves: tuple[ArmCurve, ...], target: float | None, mode: str) -> tuple[float, float] | None:
    """Limits from most of the runs' later halves, with as much again where they come from, if they come from there.

    So neither an explosion nor the first epochs flatten the rest to a line.
    """
    everything = [own[np.isfinite(own)] for curve in curves for own in (*curve.runs, curve.mean)]
    values = np.concatenate(everything)
    if not len(values):
        return None
    low, high = np.quantile(np.concatenate([own[len(own) // 2 :] for own in everything]), SHOWN_QUANTILES)
    if target is not None:
        low, high = min(low, target), max(high, target)
    first, last = np.quantile(values, SHOWN_QUANTILES)
    span = high - low
    low, high = (low, max(high, min(high + span, last))) if mode == "min" else (min(low, max(low - span, first)), high)
    room = HEADROOM * (high - low) or 0.05 * max(abs(high), 1e-6)
    return float(low - room), float(high + room)


def _furthest(verdicts: Iterable[Verdict], ratios: bool) -> float:
    """How far the values that have a size are from no difference, at most; of ratios as a logarithm."""
    values = [value for verdict in verdicts for value in (*verdict.differences, verdict.low, verdict.high)]
    sizes = np.abs(_scaled(np.array(values, dtype=np.float64), ratios))
    return float(np.max(sizes[np.isfinite(sizes)], initial=0.0)) or 1.0


def _scaled(values: Array, ratios: bool) -> Array:
    with np.errstate(divide="ignore"):  # a ratio of 0 is as infinite as one of infinity
        return np.log(values) if ratios else values


def _differences(arm: str, verdict: Verdict, furthest: float, ratios: bool) -> ArmDifferences:
    scaled = _scaled(np.asarray(verdict.differences, dtype=np.float64), ratios)
    infinite = np.isinf(scaled)
    placed = np.where(infinite, np.sign(scaled) * EDGE * furthest, scaled)
    interval = (verdict.low, verdict.high) if np.isfinite([verdict.low, verdict.high]).all() else None
    more = "" if verdict.more_seeds is None else f", seeds wanted: about {verdict.more_seeds} more"
    return ArmDifferences(
        name=arm,
        values=np.exp(placed) if ratios else placed,
        infinite=infinite,
        censored=np.asarray(verdict.censored, dtype=bool),
        verdict=verdict.kind + more,
        effect=verdict.effect,
        interval=interval,
    )
