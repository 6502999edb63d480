"""The plot of training curves, drawn with matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from onecycle.plot.drawing import (
    SMALL,
    add_title_and_grid,
    axes_or_new,
    draw_target,
    run_style,
    use_epoch_axis,
    without_formulas,
)
from onecycle.plot.training_info import TrainingPicture, TrainingRun

MAX_LABELS_INSIDE = 4


def draw_training(picture: TrainingPicture, ax: Axes | None = None) -> Axes:
    """Draw training curves on Axes, or on those of a new figure. A ring marks where a run reaches the target."""
    ax = axes_or_new(ax)
    styles: dict[str, tuple[str, str, str]] = {}
    for run in picture.runs:
        label = None if run.name in styles else picture.labels[run.name]
        style = styles.setdefault(run.name, run_style(len(styles)))
        _draw_run(ax, run, style, label)
    draw_target(ax, picture.target)
    ax.set_ylabel(without_formulas(picture.metric.replace("_", " ")))
    use_epoch_axis(ax, max((len(run.values) for run in picture.runs), default=0))
    if picture.limits is not None:
        ax.set_ylim(picture.limits)
    add_title_and_grid(ax)
    if picture.runs:
        legend = ax.legend(frameon=False, fontsize=SMALL)
        if len(picture.labels) > MAX_LABELS_INSIDE:  # a longer legend would cover the curves
            legend.set_loc("upper left")
            legend.set_bbox_to_anchor((1, 1))
    return ax


def _draw_run(ax: Axes, run: TrainingRun, style: tuple[str, str, str], label: str | None) -> None:
    color, line, marker = style
    epochs = np.arange(1, len(run.values) + 1)
    ax.plot(
        epochs,
        run.values,
        color=color,
        linestyle=line,
        linewidth=1.8,
        marker=marker,
        ms=4,
        markevery=max(1, len(epochs) // 12),
        label=None if label is None else without_formulas(label),
    )
    if run.reached is not None:
        ax.plot(run.reached, run.values[run.reached - 1], marker, ms=11, mfc="none", mec=color, mew=1.6)
