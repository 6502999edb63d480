"""The plots of a comparison, drawn with matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from onecycle.plot.comparison_info import ArmCurve, ArmDifferences, ComparisonPicture, DifferencesPicture
from onecycle.plot.drawing import (
    BLACK,
    GRAY,
    SMALL,
    TEXT,
    add_title_and_grid,
    axes_or_new,
    draw_target,
    run_style,
    use_epoch_axis,
    without_formulas,
    wrap_name,
)

HALF_ROW = 0.28  # half the height over which the points of an arm are spread; the rows have a distance of 1
NAME_WIDTH, LABEL_WIDTH = 22, 64  # characters of an arm's name on the axis, and of a line of the legend


def draw_comparison(picture: ComparisonPicture, ax: Axes | None = None) -> Axes:
    """Draw the training curves on Axes, or on those of a new figure."""
    ax = axes_or_new(ax)
    for number, curve in enumerate(picture.curves):
        _draw_arm(ax, curve, run_style(number), each_run=picture.each_run)
    draw_target(ax, picture.target)
    ax.set_ylabel(without_formulas(picture.metric.replace("_", " ")))
    use_epoch_axis(ax, max((len(curve.mean) for curve in picture.curves if np.isfinite(curve.mean).any()), default=0))
    if picture.limits is not None:
        ax.set_ylim(picture.limits)
    add_title_and_grid(ax)
    ax.set_title(without_formulas(picture.caption), loc="left", fontsize=SMALL, color=TEXT)
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


def draw_differences(picture: DifferencesPicture, ax: Axes | None = None) -> Axes:
    """Draw the differences of all seeds to the baseline on Axes, or on those of a new figure; one row for each arm."""
    ax = axes_or_new(ax)
    if picture.ratios:
        ax.set_xscale("log")
    if picture.margin is not None:
        ax.axvspan(*picture.margin, color=GRAY, alpha=0.15, linewidth=0, label="does not matter")
    ax.axvline(picture.zero, color=GRAY, linewidth=1.2)
    for row, arm in enumerate(picture.arms):
        # One entry in the legend is enough.
        _draw_row(ax, row, arm, run_style(row + 1), f"mean, {picture.interval_name}" if row == 0 else None)
    ax.set_yticks(range(len(picture.arms)), [wrap_name(arm.name, NAME_WIDTH) for arm in picture.arms])
    ax.set_ylim(max(len(picture.arms), 1) - 0.4, -0.6)  # from top to bottom, with room for the first verdict
    ax.set_xlabel(without_formulas(f"{picture.label}   ({picture.better_label})"))
    add_title_and_grid(ax)
    if picture.ratios:
        _use_plain_ratios(ax)
    if picture.arms:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=SMALL, borderaxespad=0.2)
    else:
        ax.annotate("nothing to compare", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GRAY)
        ax.tick_params(bottom=False, labelbottom=False, which="both")
    return ax


def _draw_arm(ax: Axes, curve: ArmCurve, style: tuple[str, str, str], *, each_run: bool) -> None:
    color, line, marker = style
    epochs = np.arange(1, len(curve.mean) + 1)
    if len(curve.runs) > 1:
        ax.fill_between(epochs, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)
        for values in curve.runs if each_run else ():
            ax.plot(np.arange(1, len(values) + 1), values, color=color, alpha=0.3, linewidth=0.7)
    ax.plot(
        epochs,
        curve.mean,
        color=color,
        linestyle=line,
        linewidth=2,
        marker=marker,
        ms=4,
        markevery=max(1, len(epochs) // 12),
        label=wrap_name(curve.label, LABEL_WIDTH),
    )
    for epoch, value in curve.diverged:
        ax.plot(epoch, value, "x", color=color, ms=8, mew=2)
    if curve.crossing is not None:
        ax.plot(*curve.crossing, marker, ms=12, mfc="none", mec=color, mew=1.8, zorder=4)


def _draw_row(ax: Axes, row: int, arm: ArmDifferences, style: tuple[str, str, str], label: str | None) -> None:
    color, _, marker = style
    _draw_seeds(ax, row, arm, color, marker)
    if arm.interval is not None:
        ax.plot(arm.interval, (row, row), color=BLACK, linewidth=2.2, solid_capstyle="butt", zorder=3)
        ax.plot(arm.interval, (row, row), linestyle="none", marker="|", color=BLACK, ms=11, mew=2.2, zorder=3)
    ax.plot(arm.effect, row, marker="D", ms=7, color=BLACK, mec="white", linestyle="none", label=label, zorder=4)
    ax.annotate(
        arm.verdict,
        (0.01, row - 0.42),
        xycoords=ax.get_yaxis_transform(),
        fontsize=SMALL,
        color=TEXT,
        va="center",
    )


def _draw_seeds(ax: Axes, row: int, arm: ArmDifferences, color: str, marker: str) -> None:
    count = len(arm.values)
    heights = row + (np.linspace(-HALF_ROW, HALF_ROW, count) if count > 1 else np.array([0.15]))
    for chosen, face, label in (
        (~arm.censored, color, "a seed"),
        (arm.censored, "none", "a seed, a bound or diverged"),
    ):
        if chosen.any():
            ax.plot(
                arm.values[chosen],
                heights[chosen],
                linestyle="none",
                marker=marker,
                ms=5,
                mfc=face,
                mec=color,
                alpha=0.75,
                label=label if row == 0 else None,
            )


def _use_plain_ratios(ax: Axes) -> None:
    """Label ratios as 0.5 and 2 instead of powers of ten."""
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
