"""The plot of a race, drawn with matplotlib."""

from __future__ import annotations

from matplotlib.axes import Axes

from onecycle.plot.drawing import (
    GRAY,
    SMALL,
    TEXT,
    add_title_and_grid,
    axes_or_new,
    run_style,
    set_loss_limits,
    whole_numbers,
)
from onecycle.plot.race_info import RacePicture


def draw_race(picture: RacePicture, ax: Axes | None = None) -> Axes:
    """Draw a race on Axes, or on those of a new figure."""
    ax = axes_or_new(ax)
    if picture.log:
        ax.set_yscale("log")
        ax.set_ylim(picture.limits)
    else:
        set_loss_limits(ax, picture.limits)
    ax.set_xlim(0, 1.02 * picture.total_steps)
    for step, label in picture.cuts:
        ax.axvline(step, color=GRAY, ls=":", lw=1.2)
        ax.annotate(
            label, xy=(step, 0.02), xycoords=ax.get_xaxis_transform(), xytext=(3, 0), textcoords="offset points",
            rotation=90, va="bottom", fontsize=SMALL, color=TEXT,
        )  # fmt: skip
    for number, line in enumerate(picture.lines):
        color, dash, marker = run_style(number)
        ax.plot(line.steps, line.losses, color=color, ls=dash, lw=2.2 if line.won else 1.2, label=line.label)
        if len(line.steps) and not line.won:
            # A candidate whose last loss is above the plot ends at its top edge.
            end = min(float(line.losses[-1]), picture.limits[1])
            ax.plot(line.steps[-1], end, color=color, ls="none", marker="x" if line.diverged else marker, ms=7,
                    clip_on=False)  # fmt: skip
    ax.set_xlabel("step of the cycle")
    ax.xaxis.set_major_locator(whole_numbers())
    ax.set_ylabel("training loss")
    add_title_and_grid(ax, picture.title, picture.caption)
    ax.legend(loc="upper right", fontsize=SMALL, framealpha=0.8, title="peak", title_fontsize=SMALL)
    return ax
