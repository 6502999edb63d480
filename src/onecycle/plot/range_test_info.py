"""The data of a range test's plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.results.range_test import RangeTest
from onecycle.suggestions.smoothing import half_window, median_over_repeats

Array = NDArray[np.float64]

HEADROOM = 0.25  # ours: room above the curve, as a fraction of its range, that shows where the loss shoots up
FOOTROOM = 0.08  # ours: room below the curve
SHOWN_QUANTILES = (0.01, 0.99)  # ours: raw losses outside these do not set the limits


@dataclass(frozen=True)
class SuggestionMark:
    """A rule's suggestion on the curve.

    Attributes:
        rule: Name of the rule.
        learning_rate: The suggested rate.
        loss: Smoothed loss there, which is the height of the mark.
        chosen: Whether this is the deciding rule.
        interval: (low, high) in which the rule would suggest a rate with another seed; None for the other rules, and
            where it is unknown.
    """

    rule: str
    learning_rate: float
    loss: float
    chosen: bool
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class RangeTestPicture:
    """A range test, ready to draw.

    Attributes:
        learning_rates: `(n,)`, rates.
        points: `(n,)`, raw losses, with repeats their median. NaN where not finite.
        band: `(2, n)`, lowest and highest loss over repeats, or None for a single run.
        smoothed: `(n,)`, smoothed loss.
        marks: Suggestions with a rate, the deciding one first.
        missing: Names of the rules that suggest no rate.
        blow_up: Rate at which the loss shoots up, or None.
        non_finite: Rates at which the loss was NaN or infinite.
        limits: (bottom, top) of the loss axis. A loss that shoots up leaves it through the top.
        logarithmic: Whether the rate axis is logarithmic. False for a linear ramp.
        title: The suggestion in one line.
        caption: How much the suggestion may vary, where it comes from, and how the test ended.
    """

    learning_rates: Array
    points: Array
    band: Array | None
    smoothed: Array
    marks: tuple[SuggestionMark, ...]
    missing: tuple[str, ...]
    blow_up: float | None
    non_finite: Array
    limits: tuple[float, float]
    logarithmic: bool
    title: str
    caption: str

    @property
    def outside(self) -> NDArray[np.bool_]:
        """`(n,)`, which losses the plot cannot show at their height: above its top, NaN or infinite."""
        not_finite = np.isin(self.learning_rates, self.non_finite)
        return not_finite | (np.nan_to_num(self.points, nan=-np.inf) > self.limits[1])


def range_test_picture(result: RangeTest) -> RangeTestPicture:
    """Return the data of a range test's plot."""
    medians = median_over_repeats(result.losses)
    points = np.where(np.isfinite(medians), medians, np.nan)
    band = _band(result.losses) if result.losses.ndim == 2 and len(result.losses) > 1 else None
    by_article = result.suggestions.get("blow_up")
    blow_up = None if by_article is None else by_article.seen_at
    rate = result.suggestion.learning_rate
    return RangeTestPicture(
        learning_rates=result.learning_rates,
        points=points,
        band=band,
        smoothed=result.smoothed,
        marks=_marks(result),
        missing=tuple(name for name, suggestion in result.suggestions.items() if suggestion.learning_rate is None),
        blow_up=blow_up,
        non_finite=result.learning_rates[~np.isfinite(medians)],
        limits=_limits(points, result.smoothed, result.learning_rates, blow_up),
        logarithmic=result.spacing != "linear",
        title="No learning rate suggested" if rate is None else f"Suggested learning rate: {rate:.3g}",
        caption=_caption(result),
    )


def _caption(result: RangeTest) -> str:
    sentences = [f"{result.suggestion.reason} {result.ending}"]
    if result.interval is not None:
        sentences.insert(0, "{:.2g} to {:.2g} with other seeds.".format(*result.interval))
    return " ".join(sentences)


def _band(losses: Array) -> Array:
    finite = np.isfinite(losses)
    low = np.where(finite, losses, np.inf).min(axis=0)
    high = np.where(finite, losses, -np.inf).max(axis=0)
    return np.where(finite.any(axis=0), np.stack([low, high]), np.nan)


def _marks(result: RangeTest) -> tuple[SuggestionMark, ...]:
    finite = np.isfinite(result.smoothed)
    log_rates, smoothed = np.log(result.learning_rates[finite]), result.smoothed[finite]
    marks = [
        SuggestionMark(
            rule=name,
            learning_rate=suggestion.learning_rate,
            loss=float(np.interp(np.log(suggestion.learning_rate), log_rates, smoothed)),
            chosen=name == result.rule,
            interval=result.interval if name == result.rule else None,
        )
        for name, suggestion in result.suggestions.items()
        if suggestion.learning_rate is not None
    ]
    return tuple(sorted(marks, key=lambda mark: not mark.chosen))


def _limits(points: Array, smoothed: Array, rates: Array, blow_up: float | None) -> tuple[float, float]:
    """Return limits from the part before the blow-up, so that a loss of 1e30 does not flatten the rest to a line.

    Args:
        points: Float array, `(n,)`, raw losses.
        smoothed: Float array, `(n,)`, smoothed losses.
        rates: Float array, `(n,)`, rates.
        blow_up: Rate at which the loss shoots up, or None.
    """
    calm = np.isfinite(points) & (rates < blow_up if blow_up is not None else True)
    if not calm.any():
        calm = np.isfinite(points)
    if not calm.any():
        return 0.0, 1.0
    low, high = np.quantile(points[calm], SHOWN_QUANTILES)
    bottom = min(low, smoothed[calm].min())
    # Without a blow-up, the quantile leaves out a steep rise in the last steps. The start is always shown.
    start = points[calm][: 2 * half_window(int(calm.sum())) + 1]
    top = max(high, smoothed[calm].max()) if blow_up is not None else max(np.quantile(points[calm], 0.9), start.max())
    span = nonzero_span(float(bottom), float(top))
    return float(bottom - FOOTROOM * span), float(top + HEADROOM * span)


def nonzero_span(bottom: float, top: float) -> float:
    """Return `top - bottom`, or a tenth of the size of `top` where they are equal up to rounding."""
    span = top - bottom
    return span if span > 1e-6 * max(abs(top), abs(bottom)) else max(abs(top), 1e-6) * 0.1
