"""The report of a cycle, with its curves for a plot."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.hyperparameters.evaluation import evaluate
from onecycle.hyperparameters.layer_rates import LayerRates
from onecycle.results.cycle_report import MAX_STEPS_SHOWN, CycleReport
from onecycle.schedules.base import Schedule
from onecycle.schedules.description import describe_schedule
from onecycle.schedules.early_drop import EarlyDrop
from onecycle.training.cycle_spec import CycleSchedules


def make_cycle_report(
    schedules: CycleSchedules,
    *,
    start_step: int,
    total_steps: int | None,
    max_learning_rate: float | None,
    layer_rates: LayerRates | None = None,
) -> CycleReport:
    """Return the report of a cycle that has made no step yet.

    It is made before the training, so that a schedule which cannot be evaluated costs no training.

    Args:
        schedules: The installed schedules.
        start_step: The optimizer's step at the first step of the cycle.
        total_steps: Length of the cycle in steps, or None if unknown.
        max_learning_rate: The peak, or None if the schedule was given.
        layer_rates: The rates of layers, or None.
    """
    # A ready schedule has its own length, whatever the length of the training.
    length: int | None = getattr(schedules.learning_rate, "total_steps", total_steps)
    shown = _steps_shown(schedules, start_step, length)
    rates, momenta = (
        None
        if schedule is None
        else np.array([float(evaluate(schedule, start_step + step)) for step in shown.tolist()])
        for schedule in (schedules.learning_rate, schedules.momentum)
    )
    return CycleReport(
        schedule=describe_schedule(schedules.learning_rate),
        momentum=schedules.momentum_pair,
        start_step=start_step,
        total_steps=length,
        steps=0,
        skipped_steps=None,
        max_learning_rate=max_learning_rate,
        steps_shown=shown,
        learning_rates=np.empty(0) if rates is None else rates,
        momenta=momenta,
        layer_rates=dict(layer_rates.described) if layer_rates else {},
    )


def recorded_numbers(history: keras.callbacks.History | None) -> dict[str, tuple[float, ...]]:
    """Return the columns of a `History` that are numbers, since callbacks may add others; none without a `History`."""
    return {} if history is None else numeric_columns(history.history)


def numeric_columns(columns: Mapping[str, Sequence[object]]) -> dict[str, tuple[float, ...]]:
    """Return the columns of a history that are numbers: a metric may have a value for each class, or a text."""
    return {
        str(name): tuple(float(value) for value in values if isinstance(value, numbers.Real))
        for name, values in columns.items()
        if all(isinstance(value, numbers.Real) for value in values)
    }


def _steps_shown(schedules: CycleSchedules, start_step: int, length: int | None) -> NDArray[np.int64]:
    """Return evenly spaced steps of the cycle and the steps at which a phase ends, where the curve has its corners."""
    if length is None:
        return np.empty(0, dtype=np.int64)
    schedule, last = schedules.learning_rate, length - 1
    phases = schedule.phases if isinstance(schedule, Schedule | EarlyDrop) else ()
    corners = [min(max(round(phase.stop) - start_step, 0), last) for phase in phases]
    even = np.linspace(0, last, max(2, MAX_STEPS_SHOWN - len(corners))).round()
    return np.unique(np.concatenate([even, corners]).astype(np.int64))
