"""The plot of a sweep, drawn with matplotlib."""

from __future__ import annotations

from matplotlib.axes import Axes

from onecycle.plot.drawing import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    SMALL,
    add_title_and_grid,
    axes_or_new,
    draw_edge_marks,
    set_loss_limits,
)
from onecycle.plot.sweep_info import SweepPicture

LEGEND_TOP = -0.14  # height of its upper edge, below the label of the axis, as a fraction of the Axes
STYLES = ((GRAY, "--", "s"), (BLUE, "-", "o"), (BLACK, "-.", "^"))  # of the runs of each length, the longest last


def draw_sweep(picture: SweepPicture, ax: Axes | None = None) -> Axes:
    """Draw a sweep on Axes, or on those of a new figure."""
    new_figure = ax is None
    ax = axes_or_new(ax)
    ax.set_xscale("log")
    set_loss_limits(ax, picture.limits)
    styles = STYLES[1:] if len(picture.lines) == 1 else STYLES
    for line, (color, dash, marker) in zip(picture.lines, styles, strict=False):
        ax.plot(line.rates, line.scores, color=color, ls=dash, marker=marker, ms=5.5, label=f"{line.steps} steps")
    draw_edge_marks(ax, picture.above, "^", "above the plot")
    draw_edge_marks(ax, picture.diverged, "x", "diverged")
    _draw_pick(ax, picture)
    ax.set_xlabel("peak learning rate")
    ax.set_ylabel("held-out loss at the end of a short run")
    add_title_and_grid(ax, picture.title, picture.caption)
    if new_figure:  # a curve may go through any part of the plot
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, LEGEND_TOP), ncols=3, fontsize=SMALL, frameon=False)
    else:  # there may be other Axes below these
        ax.legend(loc="best", fontsize=SMALL, framealpha=0.8)
    return ax


def _draw_pick(ax: Axes, picture: SweepPicture) -> None:
    if picture.limits[0] < picture.initial_score < picture.limits[1]:  # also excludes NaN
        ax.axhline(picture.initial_score, color=GRAY, ls=":", lw=1.2, label="before training")
    if picture.interval is not None and picture.interval[0] < picture.interval[1]:
        ax.axvspan(*picture.interval, color=GREEN, alpha=0.15, lw=0, label="makes little difference")
    if picture.picked is not None:
        ax.axvline(picture.picked, color=GREEN, lw=1.8, label=f"picked {picture.picked:.3g}")
