"""The data of a sweep's plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onecycle.plot.range_test_info import FOOTROOM, HEADROOM, nonzero_span
from onecycle.results.sweep import Sweep

Array = NDArray[np.float64]

# ours: the plot ends at this many times the distance of the median score from the best one, so that it shows the better
# half of the runs
SHOWN_DISTANCE = 2.0


@dataclass(frozen=True)
class SweepLine:
    """The runs of one length.

    Attributes:
        steps: Training steps of each run.
        rates: `(n,)`, peaks, increasing.
        scores: `(n,)`, held-out losses, NaN where a run diverged.
    """

    steps: int
    rates: Array
    scores: Array


@dataclass(frozen=True)
class SweepPicture:
    """A sweep, ready to draw.

    Attributes:
        lines: The runs of each length, the longest last.
        picked: The peak picked, or None.
        interval: (low, high) around the pick, or None.
        initial_score: Held-out loss before training, NaN where it is unknown.
        limits: (bottom, top) of the loss axis. Bad runs leave it through the top.
        title: The pick in a few words.
        caption: The reason of the pick, and the cost of the sweep.
    """

    lines: tuple[SweepLine, ...]
    picked: float | None
    interval: tuple[float, float] | None
    initial_score: float
    limits: tuple[float, float]
    title: str
    caption: str

    @property
    def diverged(self) -> Array:
        """The peaks of the runs that diverged, and so have no height in the plot."""
        return np.concatenate([line.rates[np.isnan(line.scores)] for line in self.lines] or [np.empty(0)])

    @property
    def above(self) -> Array:
        """The peaks of the runs whose score is above the top of the plot."""
        return np.concatenate([line.rates[line.scores > self.limits[1]] for line in self.lines] or [np.empty(0)])


def sweep_picture(result: Sweep) -> SweepPicture:
    """Return the data of a sweep's plot."""
    lines = []
    for steps in np.unique(result.steps):
        runs = np.flatnonzero(result.steps == steps)
        runs = runs[np.argsort(result.learning_rates[runs])]
        lines.append(SweepLine(int(steps), result.learning_rates[runs], result.scores[runs]))
    rate = result.pick.learning_rate
    return SweepPicture(
        lines=tuple(lines),
        picked=rate,
        interval=result.interval,
        initial_score=result.initial_score,
        limits=_limits(result.scores),
        title="No learning rate picked" if rate is None else f"Picked learning rate: {rate:.3g}",
        caption=f"{result.pick.reason} Cost: {result.cost:.2g} of the full run.",
    )


def _limits(scores: Array) -> tuple[float, float]:
    """Return limits around the better half of the runs, so that an extreme run does not flatten the rest to a line."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return 0.0, 1.0
    bottom = float(finite.min())
    top = min(float(finite.max()), bottom + SHOWN_DISTANCE * float(np.median(finite) - bottom))
    span = nonzero_span(bottom, top)
    return bottom - FOOTROOM * span, top + HEADROOM * span
