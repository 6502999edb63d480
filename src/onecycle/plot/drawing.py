"""What all drawings share: colors, axes and saving. Without pyplot there is no global state and no window opens."""

from __future__ import annotations

import os
import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from onecycle.suggestions.arguments import check_path, described

# Okabe & Ito, Color Universal Design, 2008. Lines and markers differ as well, for printing in black and white.
BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
RED = "#D55E00"
PURPLE = "#CC79A7"
GRAY = "#767676"  # the lightest gray with a contrast of 4.5 on white (WCAG 2.1)
TEXT = "#444444"  # of captions and names on the plot
GRID = "#e4e4e4"
_RUN_STYLES = (
    *((BLUE, "-", "o"), (RED, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"), (ORANGE, "--", "v")),
    (BLACK, "-", "P"),
)
SIZE = (7.2, 4.4)  # inches
SMALL = 8.5  # points
CHARACTER_WIDTH = 0.53  # average, relative to the font size, in matplotlib's default font
EDGE = 0.985  # height of marks at the top edge, as a fraction of the Axes
SUFFIXES = (".png", ".svg", ".pdf")


def run_style(number: int) -> tuple[str, str, str]:
    """Return color, line and marker of a run or an arm. After the last color, the combinations differ from the first.

    Args:
        number: Its number, from 0.
    """
    # Each further turn shifts lines and markers against the colors.
    turns, count = number // len(_RUN_STYLES), len(_RUN_STYLES)
    color, line, marker = (_RUN_STYLES[(number + part * turns) % count][part] for part in range(3))
    return color, line, marker


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the given Axes, or those of a new figure."""
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"Argument `ax` must be the Axes of matplotlib to draw on. Received: ax={described(ax)}")
    return ax if ax is not None else Figure(figsize=SIZE, layout="constrained").add_subplot()


def add_title_and_grid(ax: Axes, title: str = "", caption: str = "") -> None:
    """Draw the grid, and the title with its caption above the Axes.

    Args:
        ax: The Axes.
        title: One line, or "" for neither title nor caption.
        caption: Text under the title, wrapped to the width of the Axes.
    """
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, which="major", color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    if not title:
        return
    # The layout does not know the width of the text, so it is estimated from the number of characters.
    lines = textwrap.wrap(caption, max(24, int(width_in_points(ax) / (SMALL * CHARACTER_WIDTH))))
    ax.set_title(without_formulas(title), loc="left", fontweight="bold", pad=8 + 1.25 * SMALL * len(lines))
    ax.annotate(
        without_formulas("\n".join(lines)),
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 6),
        textcoords="offset points",
        va="bottom",
        fontsize=SMALL,
        color=TEXT,
    )


def set_loss_limits(ax: Axes, limits: tuple[float, float]) -> None:
    """Set the limits of a loss axis on the left.

    Args:
        ax: The Axes.
        limits: (bottom, top).
    """
    ax.set_ylim(limits)
    # For very large and very small numbers matplotlib writes a common factor, which would cover the caption.
    if not 1e-3 < max(map(abs, limits)) < 1e5:
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def use_epoch_axis(ax: Axes, epochs: int) -> None:
    """Label the horizontal axis with whole epochs.

    Args:
        ax: The Axes.
        epochs: Length of the longest curve.
    """
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(whole_numbers())
    if epochs < 2:  # on such a short axis the locator would choose fractions
        ax.set_xlim(0.5, 1.5)
        ax.set_xticks([1])


def whole_numbers() -> MaxNLocator:
    """Return a locator of whole numbers."""
    return MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True)


def draw_target(ax: Axes, target: float | None) -> None:
    """Draw the target as a horizontal line, if there is one."""
    if target is not None:
        ax.axhline(target, color=GRAY, linestyle=(0, (2, 2)), linewidth=1.2, label=f"target {target:.3g}")


def draw_edge_marks(ax: Axes, x: NDArray[np.float64], marker: str, label: str) -> None:
    """Mark points that lie outside the plot at its top edge, so that none disappears.

    Args:
        ax: The Axes.
        x: Float array, horizontal positions of the points.
        marker: Marker of matplotlib.
        label: Label in the legend.
    """
    if len(x):
        ax.plot(
            x,
            np.full(len(x), EDGE),
            transform=ax.get_xaxis_transform(),
            linestyle="none",
            marker=marker,
            ms=5,
            color=RED,
            label=label,
        )


def wrap_name(name: str, width: int) -> str:
    """Return a name that the user has chosen on at most three lines of a width in characters."""
    return without_formulas("\n".join(textwrap.wrap(name, width, max_lines=3, placeholder=" …")))


def without_formulas(text: str) -> str:
    """Return a text with names of the user's so that matplotlib, to which dollar signs begin formulas, draws it."""
    return text.replace("$", r"\$")


def width_in_points(ax: Axes) -> float:
    """Return the width of the Axes in points, before the layout has made room for labels."""
    figure = ax.get_figure(root=True)
    return 0.0 if figure is None else float(ax.get_window_extent().width / figure.dpi * 72)


def write_figure(figure: Figure | SubFigure | Axes, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format of the suffix, without a date, so that equal figures give equal bytes.

    Args:
        figure: The figure, or one of its Axes.
        path: File to write, which ends in .png, .svg or .pdf.

    Raises:
        ValueError: For another suffix, or for Axes that belong to no figure.
    """
    suffix = check_path("path", path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"Argument `path` must end in {', '.join(SUFFIXES)}. Received: path={os.fspath(path)!r}")
    root = figure.get_figure(root=True) if isinstance(figure, Axes) else figure
    if isinstance(root, SubFigure):
        root = root.get_figure(root=True)
    if root is None:
        raise ValueError("The Axes belong to no figure any more, so they cannot be saved.")
    # Without dates and random ids, equal figures give equal files.
    no_date: dict[str, dict[str, None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.hashsalt": "onecycle"}):
        root.savefig(path, dpi=150, metadata=no_date[suffix])
