"""The data of a race's plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.plot.range_test_info import FOOTROOM, HEADROOM, nonzero_span
from onecycle.results.race import Race

Array = NDArray[np.float64]

LOG_RATIO, LOG_ROOM = 20.0, 1.3  # of the losses, from which on the axis is logarithmic; above and below them there
SHOWN_QUANTILE = 0.98  # larger training losses are above the plot


@dataclass(frozen=True)
class RaceLine:
    """One candidate.

    Attributes:
        label: Its peak, and what became of it.
        steps: `(n,)`, steps of the cycle.
        losses: `(n,)`, mean training loss up to each of these.
        won: Whether it is the winner.
        diverged: Whether its loss was not finite in the end.
    """

    label: str
    steps: NDArray[np.int64]
    losses: Array
    won: bool
    diverged: bool


@dataclass(frozen=True)
class RacePicture:
    """A race, ready to draw.

    Attributes:
        lines: The candidates, from the lowest peak to the highest.
        cuts: (step, label) of each cut.
        total_steps: Steps of one run.
        limits: (bottom, top) of the loss axis.
        log: Whether the loss axis is logarithmic, because the losses fall by a large factor.
        title: The winner in a few words.
        caption: Why it won, and the cost of the race.
    """

    lines: tuple[RaceLine, ...]
    cuts: tuple[tuple[int, str], ...]
    total_steps: int
    limits: tuple[float, float]
    log: bool
    title: str
    caption: str


def race_picture(result: Race) -> RacePicture:
    """Return the data of a race's plot."""
    lines = []
    for k, rate in enumerate(result.learning_rates):
        shown = np.isfinite(result.curves[k])
        won = k == result.winner
        diverged = not won and result.reasons[k].startswith("Diverged")
        end = "won" if won else "diverged" if diverged else f"dropped at {result.steps[k] / result.total_steps:.0%}"
        lines.append(RaceLine(f"{rate:.3g}, {end}", result.curve_steps[shown], result.curves[k][shown], won, diverged))
    limits, log = _axis(result.curves)
    return RacePicture(
        lines=tuple(lines),
        cuts=tuple((round(cut * result.total_steps), f"cut at {cut:.0%}") for cut in result.cuts),
        total_steps=result.total_steps,
        limits=limits,
        log=log,
        title=f"The winner: {result.learning_rate:.3g}",
        caption=f"{result.reason} Cost: {result.cost:.3g} runs.",
    )


def _axis(curves: Array) -> tuple[tuple[float, float], bool]:
    """Return limits that one candidate with huge losses does not stretch, and whether the axis is logarithmic."""
    finite = curves[np.isfinite(curves)]
    if not len(finite):
        return (0.0, 1.0), False
    tops = [np.quantile(curve[np.isfinite(curve)], SHOWN_QUANTILE) for curve in curves if np.isfinite(curve).any()]
    bottom, top = float(finite.min()), float(np.median(tops))
    if bottom > 0 and top > LOG_RATIO * bottom:
        return (bottom / LOG_ROOM, top * LOG_ROOM), True
    span = nonzero_span(bottom, top)
    return (bottom - FOOTROOM * span, top + HEADROOM * span), False
