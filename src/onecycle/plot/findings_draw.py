"""The plot of findings, drawn with matplotlib."""

from __future__ import annotations

from matplotlib.axes import Axes

from onecycle.plot.drawing import GRAY, GREEN, RED, SMALL, TEXT, add_title_and_grid, axes_or_new
from onecycle.plot.findings_info import FindingsPicture

MARKS = {"found": ("X", RED), "nothing found": ("o", GREEN), "not checked": ("_", GRAY)}
TEXT_AT = 0.03  # where the outcomes begin, as a fraction of the width


def draw_findings(picture: FindingsPicture, ax: Axes | None = None) -> Axes:
    """Draw the outcome of each check on Axes, or on those of a new figure."""
    ax = axes_or_new(ax)
    add_title_and_grid(ax, picture.title, picture.caption)
    ax.grid(False)
    for row, line in enumerate(picture.lines):
        marker, color = MARKS[line.outcome]
        ax.plot([0.0], [row], marker=marker, color=color, ms=8, clip_on=False)
        # Dollar signs of the user's would be read as formulas.
        ax.text(TEXT_AT, row, line.text, va="center", fontsize=SMALL, color=TEXT, parse_math=False)
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(max(1, len(picture.lines)) - 0.5, -0.5)
    ax.set_xticks([])
    ax.set_yticks(range(len(picture.lines)), [line.name for line in picture.lines])
    ax.tick_params(axis="y", length=0, pad=10)
    ax.spines[:].set_visible(False)
    return ax
