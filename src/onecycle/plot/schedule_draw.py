"""The plots of a schedule and of a cycle, drawn with matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from onecycle.plot.drawing import (
    BLUE,
    CHARACTER_WIDTH,
    GRAY,
    GREEN,
    RED,
    SMALL,
    TEXT,
    add_title_and_grid,
    axes_or_new,
    whole_numbers,
    width_in_points,
)
from onecycle.plot.schedule_info import CyclePicture, SchedulePicture

Array = NDArray[np.float64]

FEW = 30  # with fewer steps than this, each step has a marker
LEGEND_ROOM = 1.1  # factor on the height of the axes, so that the legend does not cover the curves


def draw_schedule(picture: SchedulePicture, ax: Axes | None = None) -> Axes:
    """Draw a schedule on Axes, or on those of a new figure. The momentum has an axis on the right."""
    ax = axes_or_new(ax)
    steps = picture.steps
    marker = "o" if len(steps) < FEW else ""
    ax.plot(steps, picture.values, color=BLUE, linewidth=2, marker=marker, ms=3.5)
    _set_up_axes(ax, picture.values, picture.momentum)
    _draw_phases(ax, picture)
    add_title_and_grid(ax)
    if picture.momentum is not None:
        twin = _momentum_axes(ax)
        twin.plot(steps, picture.momentum, color=RED, linewidth=2, linestyle="--", marker=marker, ms=3.5)
    return ax


def draw_cycle(picture: CyclePicture, ax: Axes | None = None) -> Axes:
    """Draw the cycle of a training on Axes, or on those of a new figure. The completed part is emphasized."""
    ax = axes_or_new(ax)
    if not len(picture.steps):
        return _draw_text_only(ax, picture)
    _set_up_axes(ax, picture.learning_rates, picture.momenta)
    ax.set_ylim(0, LEGEND_ROOM * _top(picture.learning_rates))
    ax.axvspan(0, picture.shaded_until, color=GREEN, alpha=0.1, linewidth=0, zorder=0, label=picture.label)
    _draw_curve(ax, picture, picture.learning_rates, BLUE, "-")
    add_title_and_grid(ax, picture.title, picture.caption)
    if picture.momenta is not None:
        twin = _momentum_axes(ax)
        _draw_curve(twin, picture, picture.momenta, RED, "--")
        bottom, top = twin.get_ylim()
        twin.set_ylim(bottom, bottom + LEGEND_ROOM * (top - bottom))
    ax.legend(loc="upper right", fontsize=SMALL, frameon=False)
    return ax


def draw_fine_tuning(picture: SchedulePicture, ax: Axes | None = None) -> Axes:
    """Draw both phases of a fine-tuning. The axis is logarithmic, since their peaks may be far apart."""
    ax = draw_schedule(picture, ax)
    positive = picture.values[picture.values > 0]
    if len(positive):
        ax.set_yscale("log")
        ax.set_ylim(0.7 * positive.min(), 1.5 * positive.max())
    return ax


def _set_up_axes(ax: Axes, rates: Array, momenta: Array | None) -> None:
    ax.set_xlabel("step")
    ax.set_ylabel("learning rate" if momenta is None else "learning rate (solid)", color=BLUE)
    ax.set_ylim(0, _top(rates))  # from 0, since the last rates are close to it
    ax.xaxis.set_major_locator(whole_numbers())
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def _top(values: Array) -> float:
    highest = float(values.max()) if len(values) else 0.0
    return 1.08 * highest if highest > 0 else 1.0


def _momentum_axes(ax: Axes) -> Axes:
    twin: Axes = ax.twinx()
    twin.set_ylabel("momentum (dashed)", color=RED)
    twin.spines["top"].set_visible(False)
    twin.margins(y=0.12)
    return twin


def _draw_curve(ax: Axes, picture: CyclePicture, values: Array, color: str, line: str) -> None:
    """Draw the whole curve faintly, and over it the completed part."""
    marker = "o" if len(picture.steps) < FEW else ""
    ax.plot(picture.steps, values, color=color, linewidth=1.5, linestyle=line, marker=marker, ms=3.5, alpha=0.35)
    ax.plot(*picture.made(values), color=color, linewidth=2.2, linestyle=line, marker=marker, ms=3.5)


def _draw_text_only(ax: Axes, picture: CyclePicture) -> Axes:
    add_title_and_grid(ax, picture.title, picture.caption)
    ax.set_axis_off()
    text = f"{picture.label}\nThis report holds no curve."
    ax.annotate(text, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=GRAY)
    return ax


def _draw_phases(ax: Axes, picture: SchedulePicture) -> None:
    """Shade every other phase and write the names above, or upright inside where there is no room."""
    steps_per_character = (
        1.2
        * SMALL
        * CHARACTER_WIDTH
        * max(float(picture.steps[-1]) if len(picture.steps) else 0.0, 1.0)
        / max(width_in_points(ax), 1.0)
    )
    free_from = 0.0  # end of the last name
    # From left to right: a name that would overlap the one before is written upright.
    for number, (name, start, stop) in enumerate(picture.phases):
        if number % 2 == 0:
            ax.axvspan(start, stop, color=GRAY, alpha=0.1, linewidth=0, zorder=0)
        length, middle = steps_per_character * len(name), (start + stop) / 2
        if length > stop - start:
            middle = stop - length / 2  # the name of a narrow phase starts above the end of the phase before
        upright = middle - length / 2 < free_from
        free_from = free_from if upright else middle + length / 2
        ax.annotate(
            name,
            xy=((start + stop) / 2 if upright else middle, 0.02 if upright else 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, 0 if upright else 4),
            textcoords="offset points",
            rotation=90 if upright else 0,
            ha="center",
            va="bottom",
            fontsize=SMALL,
            color=TEXT,
        )
