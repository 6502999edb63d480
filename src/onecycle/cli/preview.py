"""`onecycle preview`: a schedule as a chart and a table, before training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.environment import check_output_files
from onecycle.cli.options import AsJson, Debug, PlotFile
from onecycle.schedules.sampling import corner_steps, shown_steps

if TYPE_CHECKING:
    from onecycle.cli.preview_curves import ShownCurve

# A column of the chart is one of these characters per row, an eighth of a row apart.
_BLOCKS = " ▁▂▃▄▅▆▇█"
_ROWS, _COLUMNS = 6, 64


class ScheduleName(StrEnum):
    """The schedules that `onecycle preview` can show."""

    one_cycle = "one-cycle"
    pytorch = "pytorch"
    fastai = "fastai"
    optax = "optax"
    warmup_linear = "warmup-linear"
    warmup_stable = "warmup-stable"
    cyclical = "cyclical"


def preview_command(
    schedule: Annotated[ScheduleName, typer.Argument(help="Schedule to show.")] = ScheduleName.one_cycle,
    max_learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.1,
    total_steps: Annotated[
        int, typer.Option(min=1, help="Number of training steps: epochs times batches per epoch.")
    ] = 1000,
    warmup_fraction: Annotated[float | None, typer.Option(help="Fraction of the steps before the peak, 0-1.")] = None,
    final_fraction: Annotated[
        float | None, typer.Option(help="Fraction of the steps in the final drop or decay, 0-1.")
    ] = None,
    initial_divisor: Annotated[float | None, typer.Option(help="Peak divided by the first learning rate.")] = None,
    final_divisor: Annotated[float | None, typer.Option(help="First divided by the last learning rate.")] = None,
    shape: Annotated[str | None, typer.Option(help="linear or cosine.")] = None,
    high_momentum: Annotated[float, typer.Option(help="Momentum at low learning rates.")] = 0.95,
    low_momentum: Annotated[float, typer.Option(help="Momentum at the peak.")] = 0.85,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show a schedule before training, as a chart in the terminal and as a plot.

    Example: `onecycle preview one-cycle --max-learning-rate 0.1 --total-steps 2000 --plot cycle.png`
    """
    with console.exit_codes(debug=debug):
        check_output_files(save=None, plot=plot)
        options = {
            "warmup_fraction": warmup_fraction, "final_fraction": final_fraction, "initial_divisor": initial_divisor,
            "final_divisor": final_divisor, "shape": shape,
        }  # fmt: skip
        with console.reserve_stdout(as_json=as_json), console.value_errors_as_usage_errors():
            # Imported here, as NumPy is.
            from onecycle.cli.preview_curves import learning_rate_curve, momentum_curve

            learning_rate = learning_rate_curve(schedule, max_learning_rate, total_steps, options)
            momentum = momentum_curve(learning_rate, high=high_momentum, low=low_momentum)
            if plot is not None:
                from onecycle.plot import plot_schedule, save_figure

                save_figure(plot_schedule(learning_rate, momentum), plot)
            preview = SchedulePreview(learning_rate, momentum, total_steps)
        console.print_result(preview.text(), preview.facts(), as_json=as_json)
        console.print_next(step_after_preview(schedule, max_learning_rate), as_json=as_json)


# The schedule in Python, of those that `onecycle fit` does not train with.
_IN_PYTHON = {
    ScheduleName.pytorch: "OneCycle.pytorch(peak, steps)",
    ScheduleName.fastai: "OneCycle.fastai(peak, steps)",
    ScheduleName.optax: "OneCycle.optax(steps, peak)",
    ScheduleName.warmup_linear: "WarmupLinearDecay(peak, steps)",
    ScheduleName.warmup_stable: "WarmupStableDecay(peak, steps)",
    ScheduleName.cyclical: "CyclicalLearningRate(peak / 10, peak, steps // 8)",
}


def step_after_preview(schedule: ScheduleName, max_learning_rate: float) -> str:
    """Return how to train with a schedule."""
    if schedule not in _IN_PYTHON:
        return f"`onecycle fit FILE.py:FUNCTION --max-learning-rate {max_learning_rate:g}` trains with one cycle"
    call = f"schedule=lambda steps, peak: onecycle.{_IN_PYTHON[schedule]}"
    return f"in Python, `onecycle.fit_one_cycle(model, x, y, epochs=10, {call})`"


class SchedulePreview:
    """A schedule as text and as JSON values.

    Args:
        schedule: The learning rate.
        momentum: The momentum, or None.
        steps: Number of steps to show, from the first.
    """

    def __init__(self, schedule: ShownCurve, momentum: ShownCurve | None, steps: int) -> None:
        self._schedule, self._momentum, self._last_step = schedule, momentum, steps - 1
        self._steps = shown_steps(steps, corner_steps(schedule, steps))
        self._phases = [(phase.name, phase.start, phase.stop) for phase in schedule.phases]

    def facts(self) -> dict[str, object]:
        """Return the values as JSON values: at all steps, or if there are many, at those of the plot."""
        phases = [{"name": name, "start": start, "stop": stop} for name, start, stop in self._phases]
        rates, momenta = _values(self._schedule, self._steps), _values(self._momentum, self._steps)
        return {"steps": self._steps, "learning_rates": rates, "momenta": momenta, "phases": phases}

    def text(self) -> str:
        """Return charts of the learning rate and the momentum, and a table of the phases."""
        curves = {"learning rate": self._schedule, "momentum": self._momentum}
        charts = [self._chart(title, schedule) for title, schedule in curves.items() if schedule is not None]
        return "\n\n".join([*charts, self._table()])

    def _table(self) -> str:
        rows = [("phase", "steps", "learning rate", "momentum")]
        for name, start, stop in self._phases or [("all", 0, self._last_step)]:
            # A phase may begin and end between two steps.
            ends = [min(round(step), self._last_step) for step in (start, stop)]
            rate, momentum = (
                " to ".join(f"{value:.4g}" for value in _values(schedule, ends)) or "unchanged"
                for schedule in (self._schedule, self._momentum)
            )
            rows.append((name, f"{ends[0]} to {ends[1]}", rate, momentum))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)

    def _chart(self, title: str, schedule: ShownCurve) -> str:
        shown = _values(schedule, self._steps)
        columns = _values(schedule, [round(k * self._last_step / (_COLUMNS - 1)) for k in range(_COLUMNS)])
        return _bar_chart(title, columns, low=min(shown), high=max(shown), last_step=self._last_step)


def _values(schedule: ShownCurve | None, steps: Sequence[int]) -> list[float]:
    return [] if schedule is None else [schedule.value_at(step) for step in steps]


def _bar_chart(title: str, columns: Sequence[float], *, low: float, high: float, last_step: int) -> str:
    """Return a bar chart drawn with block characters.

    Args:
        title: The line above the chart.
        columns: The height of each bar.
        low: Height of the lowest bar.
        high: Height of the highest bar.
        last_step: The step of the last bar.
    """
    # In eighths of a row. A constant has no range to divide by.
    heights = [math.ceil((value - low) / ((high - low) or 1.0) * _ROWS * 8) for value in columns]
    bars = ["".join(_BLOCKS[max(0, min(8, height - 8 * row))] for height in heights) for row in reversed(range(_ROWS))]
    labels = [f"{high:.4g}", *[""] * (_ROWS - 2), f"{low:.4g}"]
    width = max(map(len, labels))
    lines = [f"  {label:>{width}} │{bar}" for label, bar in zip(labels, bars, strict=True)]
    axis = f"  {'':{width}} └{'─' * _COLUMNS}"
    ends = f"  {'':{width}}  0{f'step {last_step}':>{_COLUMNS - 1}}"
    return "\n".join([title, *lines, axis, ends])
