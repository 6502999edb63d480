"""The plot of a batch size advice, drawn with matplotlib."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from onecycle.plot.batch_size_info import BatchSizePicture
from onecycle.plot.drawing import BLUE, GREEN, ORANGE, SMALL, add_title_and_grid, axes_or_new


def draw_batch_sizes(picture: BatchSizePicture, ax: Axes | None = None) -> Axes:
    """Draw a batch size advice on Axes, or on those of a new figure."""
    ax = axes_or_new(ax)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.fill_between(picture.sizes, *picture.band, color=BLUE, alpha=0.15, lw=0, label="interval of the noise scale")
    ax.plot(picture.sizes, picture.times, color=BLUE, marker="o", ms=5, label="time to a target")
    if picture.samples is not None:
        ax.plot(picture.sizes, picture.samples, color=ORANGE, ls="--", marker="s", ms=4, label="samples to a target")
    if picture.advised is not None:
        ax.axvline(picture.advised, color=GREEN, lw=1.8, label=f"advised: {picture.advised}")
    ax.set_xticks(picture.sizes, [f"{size:g}" for size in picture.sizes])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    top = max(2.0, float(np.max(picture.band[1])), 1.0 if picture.samples is None else float(picture.samples.max()))
    ax.set_ylim(0.9, 1.1 * top)
    ax.set_xlabel("batch size")
    ax.set_ylabel("relative to the least")
    add_title_and_grid(ax, picture.title, picture.caption)
    ax.legend(loc="upper center", fontsize=SMALL, framealpha=0.8)
    return ax
