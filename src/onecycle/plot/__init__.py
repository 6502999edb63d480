"""Plots of results. Every plot function draws on the given Axes or on a new figure, and never shows it.

Each plot has two modules: `..._info` computes what is drawn and needs NumPy only, `..._draw` draws it with matplotlib.
The report uses the same data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from onecycle.plot.batch_size_info import batch_size_picture
from onecycle.plot.comparison_info import comparison_picture, differences_picture
from onecycle.plot.findings_info import findings_picture
from onecycle.plot.race_info import race_picture
from onecycle.plot.range_test_info import range_test_picture
from onecycle.plot.schedule_info import HasValues, cycle_picture, fine_tuning_picture, picture_of_schedule
from onecycle.plot.training_info import training_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import ArrayLike

    from onecycle.results import (
        BatchSizeAdvice,
        Comparison,
        CycleReport,
        Findings,
        FineTuneReport,
        Race,
        RangeTest,
    )

__all__ = [
    "plot_batch_sizes",
    "plot_comparison",
    "plot_cycle",
    "plot_differences",
    "plot_findings",
    "plot_fine_tuning",
    "plot_race",
    "plot_range_test",
    "plot_schedule",
    "plot_training_curves",
    "save_figure",
]


def plot_range_test(result: RangeTest, ax: Axes | None = None) -> Axes:
    """Draw the losses of a range test, the smoothed loss, and the suggestion of each rule.

    The loss axis shows the part before the blow-up. Losses above it are marked at the top edge with triangles, losses
    that are NaN or infinite with crosses. With repeats, the band spans the lowest and the highest loss.

    Args:
        result: The range test.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
    """
    _require_matplotlib()
    from onecycle.plot.range_test_draw import draw_range_test

    return draw_range_test(range_test_picture(result), ax)


def plot_race(result: Race, ax: Axes | None = None) -> Axes:
    """Draw the training loss of each candidate of a race, and the cuts at which the worse ones were dropped.

    Args:
        result: The race.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
    """
    _require_matplotlib()
    from onecycle.plot.race_draw import draw_race

    return draw_race(race_picture(result), ax)


def plot_batch_sizes(result: BatchSizeAdvice, ax: Axes | None = None) -> Axes:
    """Draw the expected time and the samples to a target against the batch size, relative to the least.

    The band shows the times at the ends of the interval of the noise scale.

    Args:
        result: The advice.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
    """
    _require_matplotlib()
    from onecycle.plot.batch_size_draw import draw_batch_sizes

    return draw_batch_sizes(batch_size_picture(result), ax)


def plot_findings(result: Findings, ax: Axes | None = None) -> Axes:
    """Draw a list of the checks before training with the outcome of each.

    Args:
        result: The findings.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
    """
    _require_matplotlib()
    from onecycle.plot.findings_draw import draw_findings

    return draw_findings(findings_picture(result), ax)


def plot_cycle(result: CycleReport, ax: Axes | None = None) -> Axes:
    """Draw the learning rate and the momentum of a training's cycle. The completed part is shaded.

    Args:
        result: The report of the cycle, `history.onecycle`.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes of the learning rate.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
    """
    _require_matplotlib()
    from onecycle.plot.schedule_draw import draw_cycle

    return draw_cycle(cycle_picture(result), ax)


def plot_fine_tuning(result: FineTuneReport, ax: Axes | None = None) -> Axes:
    """Draw the learning rate and the momentum of both phases of a fine-tuning, with a logarithmic axis for the rate.

    Args:
        result: The report of `fine_tune`, `history.onecycle`.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes of the learning rate.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
    """
    _require_matplotlib()
    from onecycle.plot.schedule_draw import draw_fine_tuning

    return draw_fine_tuning(fine_tuning_picture(result), ax)


def plot_schedule(schedule: HasValues, momentum: HasValues | ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Draw the learning rate of a schedule over its steps, the names of its phases, and its momentum.

    Args:
        schedule: An object with a method `values()`, e.g. `onecycle.OneCycle`. Its `phases` (objects with `name`,
            `start` and `stop` in steps) are drawn if it has any.
        momentum: The matching momentum on a second axis, as a schedule or as one number for each step, or None.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes of the learning rate.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
        ValueError: If the momentum does not have one number for each step.
    """
    _require_matplotlib()
    from onecycle.plot.schedule_draw import draw_schedule

    return draw_schedule(picture_of_schedule(schedule, momentum), ax)


def plot_training_curves(
    runs: Mapping[str, object] | Iterable[tuple[str, object]],
    metric: str,
    target: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric of several runs over the epochs, and where each run first reaches the target.

    Args:
        runs: Name -> values per epoch, or name -> `History.history`; or pairs of these, where a name may occur several
            times (the seeds of one arm share a color).
        metric: Name of the metric, e.g. "val_accuracy".
        target: Value to reach, or None.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
        TypeError: If a run is neither a sequence of values nor a `History.history`.
        ValueError: If a run lacks the metric, or has more than one value per epoch.
    """
    _require_matplotlib()
    from onecycle.plot.training_draw import draw_training

    return draw_training(training_picture(runs, metric, target), ax)


def plot_comparison(result: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the metric of a comparison over the epochs: each seed, the mean of each arm, its interval, and the target.

    A ring marks where an arm's mean first reaches the target, a cross where a run diverged.

    Args:
        result: The comparison.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
    """
    _require_matplotlib()
    from onecycle.plot.comparison_draw import draw_comparison

    return draw_comparison(comparison_picture(result), ax)


def plot_differences(result: Comparison, measure: str = "final", ax: Axes | None = None) -> Axes:
    """Draw the difference to the baseline in one measure for each seed, and the mean of each arm with its interval.

    Args:
        result: The comparison.
        measure: "final", "best" or "loss" for differences; "steps", "epochs", "samples" or "seconds" to the target for
            ratios on a logarithmic axis. Hollow points are bounds: one of the two runs diverged or was censored.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The Axes.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
        ValueError: If `measure` is none of these.
    """
    _require_matplotlib()
    from onecycle.plot.comparison_draw import draw_differences

    return draw_differences(differences_picture(result, measure), ax)


def save_figure(figure: Figure | SubFigure | Axes, path: str | os.PathLike[str]) -> None:
    """Write a figure as .png, .svg or .pdf, according to the suffix of the path.

    Equal figures give equal bytes.

    Args:
        figure: The figure, or one of its Axes.
        path: File to write.

    Raises:
        ImportError: If matplotlib is missing. The message says what to install.
        ValueError: For another suffix.
    """
    _require_matplotlib()
    from onecycle.plot.drawing import write_figure

    write_figure(figure, path)


def _require_matplotlib() -> None:
    # Checked separately, so that an ImportError inside our own modules keeps its message.
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install matplotlib") from error
