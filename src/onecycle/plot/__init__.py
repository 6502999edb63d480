"""Pictures of results. Every function draws on the Axes it is given or on a new figure, and shows nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from onecycle.plot.comparison_info import comparison_picture, differences_picture
from onecycle.plot.info import range_test_picture, schedule_picture, training_picture
from onecycle.plot.sweep_info import sweep_picture

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import ArrayLike, NDArray

    from onecycle.results.comparison import Comparison
    from onecycle.results.range_test import RangeTest
    from onecycle.results.sweep import Sweep

__all__ = [
    "plot_comparison",
    "plot_differences",
    "plot_range_test",
    "plot_schedule",
    "plot_sweep",
    "plot_training_curves",
    "save_figure",
]


class Schedule(Protocol):
    """What `plot_schedule` needs of a schedule: its values for each step. `phases` is used where there is one."""

    def values(self) -> NDArray[np.float64]:
        """Returns the value of each step."""
        ...


def plot_range_test(result: RangeTest, ax: Axes | None = None) -> Axes:
    """Draws the losses of a range test, their smoothed curve, and each rule's suggestion; returns the Axes.

    The loss axis shows the part before the blow-up; losses above it appear as triangles at the top edge, losses
    that are NaN or infinite as crosses there. With repeats the band spans the lowest and the highest.

    Raises:
        ImportError: without matplotlib; the message says what to install. So do all functions here.
    """
    return _draw().draw_range_test(range_test_picture(result), ax)  # type: ignore[no-any-return]


def plot_sweep(result: Sweep, ax: Axes | None = None) -> Axes:
    """Draws the score of each run of a sweep against its rate, the pick and its interval; returns the Axes.

    Runs of one length are joined by a line; those that diverged, and scores above the picture, stand at its top edge.
    """
    _draw()
    from onecycle.plot.sweep_draw import draw_sweep

    return draw_sweep(sweep_picture(result), ax)


def plot_schedule(schedule: Schedule, momentum: Schedule | ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Draws a schedule's rate over its steps, its phases by name, and its momentum; returns the rate's Axes.

    Args:
        schedule: anything with `values()`, e.g. `onecycle.OneCycle`; `phases` (objects with name, start and stop,
            in steps) are drawn where it has them.
        momentum: the matching momentum, as a schedule or as one number a step, drawn on a second axis; or None.
        ax: Axes to draw on, or None for a new figure.
    """
    numbers: Any = momentum
    if hasattr(numbers, "values"):
        numbers = numbers.values()
    phases = [(phase.name, phase.start, phase.stop) for phase in getattr(schedule, "phases", ())]
    return _draw().draw_schedule(schedule_picture(schedule.values(), numbers, phases), ax)  # type: ignore[no-any-return]


def plot_training_curves(
    runs: Mapping[str, Any] | Iterable[tuple[str, Any]],
    metric: str,
    target: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws one metric of several runs over the epochs, and where each first reaches the target; returns the Axes.

    Args:
        runs: name -> values per epoch, or name -> `History.history`; or pairs of those, where a name may come
            several times (the seeds of one arm share a colour).
        metric: name of the metric, e.g. "val_accuracy".
        target: value to reach, or None.
        ax: Axes to draw on, or None for a new figure.

    Raises:
        ValueError: if a run lacks the metric.
    """
    return _draw().draw_training(training_picture(runs, metric, target), ax)  # type: ignore[no-any-return]


def plot_comparison(result: Comparison, ax: Axes | None = None) -> Axes:
    """Draws a comparison's metric over the epochs: seeds, means with their intervals, the target; returns the Axes.

    A ring marks where an arm's mean first meets the target, a cross where a run diverged.
    """
    _draw()
    from onecycle.plot.comparison_draw import draw_comparison

    return draw_comparison(comparison_picture(result), ax)


def plot_differences(result: Comparison, measure: str = "final", ax: Axes | None = None) -> Axes:
    """Draws each seed's difference to the baseline in one measure, each arm's mean and interval; returns the Axes.

    Args:
        result: the comparison.
        measure: "final", "best" or "loss", as differences; "steps", "epochs", "samples" or "seconds" to the target, as
            ratios on a logarithmic axis. Hollow points are bounds: one of the two runs diverged or was censored.
        ax: Axes to draw on, or None for a new figure.

    Raises:
        ValueError: for another measure.
    """
    _draw()
    from onecycle.plot.comparison_draw import draw_differences

    return draw_differences(differences_picture(result, measure), ax)


def save_figure(figure: Figure | SubFigure | Axes, path: str | os.PathLike[str]) -> None:
    """Writes a figure, or the figure of an Axes, as .png, .svg or .pdf, by the suffix of `path`.

    The same figure gives the same bytes each time.

    Raises:
        ValueError: for another suffix.
    """
    _draw().save(figure, path)


def _draw() -> ModuleType:
    try:
        import matplotlib  # noqa: F401  # asked first, so that an error inside our own module is not hidden
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install onecycle[plot]") from error
    from onecycle.plot import draw

    return draw
