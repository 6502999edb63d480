"""A sweep drawn with matplotlib from the plain data of `sweep_info`."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from onecycle.plot.draw import BLACK, BLUE, GREEN, GREY, RED, SMALL, _axes, _finish
from onecycle.plot.sweep_info import SweepPicture

STYLES = ((GREY, "--", "s"), (BLUE, "-", "o"), (BLACK, "-.", "^"))  # of the runs of each length, the longest last


def draw_sweep(picture: SweepPicture, ax: Axes | None = None) -> Axes:
    """Draws a sweep on `ax` or on a new figure."""
    ax = _axes(ax)
    ax.set_xscale("log")
    ax.set_ylim(picture.limits)
    edge = ax.get_xaxis_transform()
    styles = STYLES[1:] if len(picture.lines) == 1 else STYLES
    left = []
    for line, (color, dash, marker) in zip(picture.lines, styles, strict=False):
        ax.plot(line.rates, line.scores, color=color, ls=dash, marker=marker, ms=5.5, label=f"{line.steps} steps")
        left += line.rates[picture.leavers(line)].tolist()
    if left:
        ax.plot(
            left, np.full(len(left), 0.985), transform=edge, ls="none", marker="^", ms=6, color=RED,
            label="diverged or above the picture",
        )  # fmt: skip
    if picture.limits[0] < picture.initial_score < picture.limits[1]:
        ax.axhline(picture.initial_score, color=GREY, ls=":", lw=1.2, label="before training")
    if picture.interval is not None and picture.interval[0] < picture.interval[1]:
        ax.axvspan(*picture.interval, color=GREEN, alpha=0.15, lw=0, label="makes little difference")
    if picture.picked is not None:
        ax.axvline(picture.picked, color=GREEN, lw=1.8, label=f"picked {picture.picked:.3g}")
    ax.set_xlabel("peak learning rate")
    ax.set_ylabel("held-out loss at the end of a short run")
    _finish(ax, picture.title, picture.caption)
    ax.legend(loc="best", fontsize=SMALL, framealpha=0.8)
    return ax
