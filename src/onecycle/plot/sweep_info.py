"""The plain data of a sweep's picture. No matplotlib, no keras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.plot.info import FOOTROOM, HEADROOM
from onecycle.results.sweep import Sweep

Array = NDArray[np.float64]

SHOWN = 2.0  # ours: scores up to so many times the best's distance from the picture's second quartile set the limits


@dataclass(frozen=True)
class Line:
    """The runs of one length: steps, rates (n,), rising, and scores (n,), NaN where a run diverged."""

    steps: int
    rates: Array
    scores: Array


@dataclass(frozen=True)
class SweepPicture:
    """A sweep, ready to draw.

    Attributes:
        lines: the runs of each length, the longest last.
        picked: the rate picked, or None.
        interval: (low, high), or None.
        initial_score: the held-out loss before training, NaN where it is not known.
        limits: (bottom, top) of the loss axis; bad runs leave it through the top.
        title: the verdict in a few words.
        caption: why, and what it cost.
    """

    lines: tuple[Line, ...]
    picked: float | None
    interval: tuple[float, float] | None
    initial_score: float
    limits: tuple[float, float]
    title: str
    caption: str

    def leavers(self, line: Line) -> NDArray[np.bool_]:
        """(n,) which runs of a line the picture cannot show where they are: diverged, or above its top."""
        return ~(line.scores <= self.limits[1])


def sweep_picture(result: Sweep) -> SweepPicture:
    """Returns what a picture of this sweep shows."""
    lines = []
    for steps in np.unique(result.steps):
        own = np.flatnonzero(result.steps == steps)
        own = own[np.argsort(result.learning_rates[own])]
        lines.append(Line(int(steps), result.learning_rates[own], result.scores[own]))
    rate = result.pick.learning_rate
    return SweepPicture(
        lines=tuple(lines),
        picked=rate,
        interval=result.interval,
        initial_score=result.initial_score,
        limits=_limits(result.scores),
        title="No learning rate picked" if rate is None else f"Picked learning rate: {rate:.3g}",
        caption=f"{result.pick.reason} Cost: {result.cost:.2g} of the whole run.",
    )


def _limits(scores: Array) -> tuple[float, float]:
    """Limits around the better half of the runs, so that a run gone wild does not flatten the rest to a line."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return 0.0, 1.0
    bottom = float(finite.min())
    top = min(float(finite.max()), bottom + SHOWN * float(np.median(finite) - bottom))
    span = top - bottom
    if span <= 1e-6 * max(abs(top), abs(bottom)):
        span = max(abs(top), 1e-6) * 0.1
    return bottom - FOOTROOM * span, top + HEADROOM * span
