"""Pictures drawn with matplotlib from the plain data of `info`; without pyplot, so no global state and no windows."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import EngFormatter, MaxNLocator

from onecycle.plot.info import Mark, RangeTestPicture, SchedulePicture, TrainingPicture

# Okabe & Ito, Color Universal Design, 2008. Lines and markers differ as well, for print in black and white.
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#767676"  # the lightest grey with a contrast of 4.5 on white (WCAG 2.1)
RULE_STYLES = {
    "one_cycle": (GREEN, "D"),
    "blow_up": (RED, "p"),
    "minimum": (ORANGE, "s"),
    "steepest": (PURPLE, "^"),
    "valley": (BLUE, "v"),
    "slide": (SKY, "P"),
}
OTHER_STYLE = (BLACK, "X")
RUN_STYLES = ((BLUE, "-", "o"), (RED, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"), (ORANGE, "--", "v"))
SIZE = (7.2, 4.4)  # inches
SMALL = 8.5  # points
CHARACTER_WIDTH = 0.53  # of the font size, on average, in matplotlib's default font
FEW = 40  # points, below which they are drawn larger
SUFFIXES = (".png", ".svg", ".pdf")


def draw_range_test(picture: RangeTestPicture, ax: Axes | None = None) -> Axes:
    """Draws a range test on `ax` or on a new figure."""
    own = ax is None
    ax = _axes(ax)
    rates = picture.learning_rates
    if picture.logarithmic:
        ax.set_xscale("log")
    if picture.band is not None:
        ax.fill_between(rates, *picture.band, color=SKY, alpha=0.3, linewidth=0, label="all repeats")
    label = "loss of each batch" if picture.band is None else "median of repeats"
    size = 5 if len(rates) > FEW else 10
    ax.plot(rates, picture.points, linestyle="none", marker=".", ms=size, color=GREY, alpha=0.75, mew=0, label=label)
    ax.plot(rates, picture.smoothed, color=BLACK, linewidth=1.8, label="smoothed")
    ax.set_ylim(picture.limits)
    _limit_rates(ax, picture)
    _draw_leavers(ax, picture)
    if picture.blow_up is not None:
        ax.axvline(picture.blow_up, color=RED, linestyle="--", linewidth=1.4, label=f"blow-up {picture.blow_up:.3g}")
    for mark in picture.marks:
        _draw_mark(ax, mark)
    if picture.missing:
        ax.plot([], [], linestyle="none", label=textwrap.fill("none: " + ", ".join(picture.missing), 24))
    ax.set_xlabel("learning rate")
    ax.set_ylabel("training loss")
    _finish(ax, picture.title, picture.caption)
    if own:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=SMALL, frameon=False, borderaxespad=0)
    else:  # beside the Axes there may be another one
        ax.legend(loc="best", fontsize=SMALL - 2, framealpha=0.8, labelspacing=0.2)
    return ax


def draw_schedule(picture: SchedulePicture, ax: Axes | None = None) -> Axes:
    """Draws a schedule on `ax` or on a new figure; the momentum goes on a twin axis to the right."""
    ax = _axes(ax)
    steps = np.arange(len(picture.values))
    marker = "o" if len(steps) < 30 else ""
    ax.plot(steps, picture.values, color=BLUE, linewidth=2, marker=marker, ms=3.5)
    ax.set_xlabel("step")
    ax.set_ylabel("learning rate" if picture.momentum is None else "learning rate (solid)", color=BLUE)
    ax.set_ylim(0, _above(picture.values))
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    _draw_phases(ax, picture)
    _finish(ax, "", "")
    if picture.momentum is not None:
        twin = ax.twinx()
        twin.plot(steps, picture.momentum, color=RED, linewidth=2, linestyle="--", marker=marker, ms=3.5)
        twin.set_ylabel("momentum (dashed)", color=RED)
        twin.spines["top"].set_visible(False)
        twin.margins(y=0.12)
    return ax


def draw_training(picture: TrainingPicture, ax: Axes | None = None) -> Axes:
    """Draws training curves on `ax` or on a new figure."""
    ax = _axes(ax)
    styles: dict[str, tuple[str, str, str]] = {}
    for run in picture.runs:
        first = run.name not in styles
        color, line, marker = styles.setdefault(run.name, RUN_STYLES[len(styles) % len(RUN_STYLES)])
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
            label=picture.labels[run.name] if first else None,
        )
        if run.reached is not None:
            ax.plot(run.reached, run.values[run.reached - 1], marker, ms=11, mfc="none", mec=color, mew=1.6)
    if picture.target is not None:
        ax.axhline(
            picture.target, color=GREY, linestyle=(0, (2, 2)), linewidth=1.2, label=f"target {picture.target:.3g}"
        )
    ax.set_ylabel(picture.metric.replace("_", " "))
    _epochs(ax, max((len(run.values) for run in picture.runs), default=0))
    if picture.limits is not None:
        ax.set_ylim(picture.limits)
    _finish(ax, "", "")
    if picture.runs:
        ax.legend(frameon=False, fontsize=SMALL)
    return ax


def save(figure: Figure | SubFigure | Axes, path: str | os.PathLike[str]) -> None:
    """Writes a figure by suffix, without the date, so that the same figure gives the same bytes."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"Argument `path` must end in {', '.join(SUFFIXES)}. Received: path={os.fspath(path)!r}")
    owner = figure.get_figure(root=True) if isinstance(figure, Axes) else figure
    if isinstance(owner, SubFigure):
        owner = owner.get_figure(root=True)
    if owner is None:
        raise ValueError("The Axes belongs to no figure any more, so it cannot be saved.")
    dates = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    with mpl.rc_context({"svg.hashsalt": "onecycle"}):
        owner.savefig(path, dpi=150, metadata=dates)


def _axes(ax: Axes | None) -> Axes:
    return ax if ax is not None else Figure(figsize=SIZE, layout="constrained").add_subplot()


def _epochs(ax: Axes, longest: int) -> None:
    """An axis of whole epochs, also where there is only one, or none."""
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))
    if longest < 2:  # over so short an axis the locator has fractions
        ax.set_xlim(0.5, 1.5)
        ax.set_xticks([1])


def _wrapped(name: str, width: int) -> str:
    """A name given by a person, on three lines at most."""
    return "\n".join(textwrap.wrap(name, width, max_lines=3, placeholder=" …"))


def _limit_rates(ax: Axes, picture: RangeTestPicture) -> None:
    """Limits by hand: matplotlib finds none where no loss is finite, and warns where there is one step."""
    if not len(picture.learning_rates):
        return
    first, last = picture.learning_rates[[0, -1]]
    if picture.logarithmic:
        pad = (last / first) ** 0.03 if last > first else 10.0
        ax.set_xlim(first / pad, last * pad)
    else:
        pad = max(0.03 * (last - first), 0.05 * last)
        ax.set_xlim(first - pad, last + pad)


def _draw_leavers(ax: Axes, picture: RangeTestPicture) -> None:
    """Marks on the top edge for losses that are above it or are not numbers: nothing vanishes unseen."""
    edge = ax.get_xaxis_transform()
    above = picture.learning_rates[np.nan_to_num(picture.points, nan=-np.inf) > picture.limits[1]]
    for rates, marker, label in ((above, "^", "above the picture"), (picture.non_finite, "x", "NaN or infinite")):
        if len(rates):
            ax.plot(
                rates,
                np.full(len(rates), 0.985),
                transform=edge,
                linestyle="none",
                marker=marker,
                ms=4.5,
                color=RED,
                label=label,
            )


def _draw_mark(ax: Axes, mark: Mark) -> None:
    color, marker = RULE_STYLES.get(mark.rule, OTHER_STYLE)
    if mark.chosen:
        ax.axvline(mark.learning_rate, color=color, linewidth=1.6, zorder=1.5)
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


def _draw_phases(ax: Axes, picture: SchedulePicture) -> None:
    letter = 1.2 * SMALL * CHARACTER_WIDTH * max(len(picture.values) - 1, 1) / max(_width(ax), 1.0)  # in steps
    free = 0.0  # where the last name ended
    for number, (name, start, stop) in enumerate(picture.phases):
        if number % 2 == 0:
            ax.axvspan(start, stop, color=GREY, alpha=0.1, linewidth=0, zorder=0)
        length, middle = letter * len(name), (start + stop) / 2
        if length > stop - start:
            middle = stop - length / 2  # a narrow phase's name reaches back, over the end of the phase before
        upright = middle - length / 2 < free
        free = free if upright else middle + length / 2
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
            color="#444444",
        )


def _finish(ax: Axes, title: str, caption: str) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, which="major", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    if not title:
        return
    wrapped = textwrap.wrap(caption, max(24, int(_width(ax) / (SMALL * CHARACTER_WIDTH))))
    ax.set_title(title, loc="left", fontweight="bold", pad=8 + 1.25 * SMALL * len(wrapped))
    ax.annotate(
        "\n".join(wrapped),
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 6),
        textcoords="offset points",
        va="bottom",
        fontsize=SMALL,
        color="#444444",
    )


def _width(ax: Axes) -> float:
    """The width of the Axes in points, before the layout has made room for labels."""
    figure = ax.get_figure(root=True)
    return 0.0 if figure is None else float(ax.get_window_extent().width / figure.dpi * 72)


def _above(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    top = float(values.max()) if len(values) else 0.0
    return 1.08 * top if top > 0 else 1.0
