"""The plot of a range test, drawn with matplotlib."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes

from onecycle.plot.drawing import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    SMALL,
    add_title_and_grid,
    axes_or_new,
    draw_edge_marks,
    set_loss_limits,
)
from onecycle.plot.range_test_info import RangeTestPicture, SuggestionMark

RULE_STYLES = {
    "one_cycle": (GREEN, "D"),
    "blow_up": (RED, "p"),
    "minimum": (ORANGE, "s"),
    "steepest": (PURPLE, "^"),
    "valley": (BLUE, "v"),
    "slide": (SKY, "P"),
}
OTHER_STYLE = (BLACK, "X")
FEW = 40  # with fewer points than this, points are drawn larger


def draw_range_test(picture: RangeTestPicture, ax: Axes | None = None) -> Axes:
    """Draw a range test on Axes, or on those of a new figure."""
    new_figure = ax is None
    ax = axes_or_new(ax)
    if picture.logarithmic:
        ax.set_xscale("log")
    _draw_losses(ax, picture)
    set_loss_limits(ax, picture.limits)
    _set_rate_limits(ax, picture)
    above = np.nan_to_num(picture.points, nan=-np.inf) > picture.limits[1]
    draw_edge_marks(ax, picture.learning_rates[above], "^", "above the plot")
    draw_edge_marks(ax, picture.non_finite, "x", "NaN or infinite")
    if picture.blow_up is not None:
        ax.axvline(picture.blow_up, color=RED, linestyle="--", linewidth=1.4, label=f"blow-up {picture.blow_up:.3g}")
    for mark in picture.marks:
        _draw_mark(ax, mark)
    if picture.missing:
        ax.plot([], [], linestyle="none", label=textwrap.fill("none: " + ", ".join(picture.missing), 24))
    ax.set_xlabel("learning rate")
    ax.set_ylabel("training loss")
    add_title_and_grid(ax, picture.title, picture.caption)
    if new_figure:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=SMALL, frameon=False, borderaxespad=0)
    else:  # there may be other Axes beside these
        ax.legend(loc="best", fontsize=SMALL - 2, framealpha=0.8, labelspacing=0.2)
    return ax


def _draw_losses(ax: Axes, picture: RangeTestPicture) -> None:
    rates = picture.learning_rates
    if picture.band is not None:
        ax.fill_between(rates, *picture.band, color=SKY, alpha=0.3, linewidth=0, label="all repeats")
    label = "loss of each batch" if picture.band is None else "median of repeats"
    size = 5 if len(rates) > FEW else 10
    ax.plot(rates, picture.points, linestyle="none", marker=".", ms=size, color=GRAY, alpha=0.75, mew=0, label=label)
    ax.plot(rates, picture.smoothed, color=BLACK, linewidth=1.8, label="smoothed")


def _set_rate_limits(ax: Axes, picture: RangeTestPicture) -> None:
    # Set explicitly: matplotlib finds no limits where no loss is finite, and warns where there is one step.
    if not len(picture.learning_rates):
        return
    first, last = picture.learning_rates[[0, -1]]
    if picture.logarithmic:
        pad = (last / first) ** 0.03 if last > first else 10.0
        ax.set_xlim(first / pad, last * pad)
    else:
        pad = max(0.03 * (last - first), 0.05 * last)
        ax.set_xlim(first - pad, last + pad)


def _draw_mark(ax: Axes, mark: SuggestionMark) -> None:
    color, marker = RULE_STYLES.get(mark.rule, OTHER_STYLE)
    if mark.chosen:
        ax.axvline(mark.learning_rate, color=color, linewidth=1.6, zorder=1.5)
    if mark.interval is not None:
        ax.plot(mark.interval, [mark.loss] * 2, color=color, linewidth=2.2, marker="|", ms=11, mew=2.2, zorder=3.5)
    ax.plot(
        mark.learning_rate,
        mark.loss,
        linestyle="none",
        marker=marker,
        ms=10 if mark.chosen else 7.5,
        color=color,
        mec="white",
        mew=1,
        zorder=4 if mark.chosen else 3,
        label=f"{mark.rule} {mark.learning_rate:.3g}" + (" (suggested)" if mark.chosen else ""),
    )
