"""The report of a cycle, made when its training ends."""

from __future__ import annotations

import numpy as np

from onecycle.hyperparameters.evaluation import evaluate
from onecycle.results.cycle_report import MAX_STEPS_SHOWN, CycleReport
from onecycle.schedules.description import describe_schedule
from onecycle.training.cycle_spec import CycleSchedules


def cycle_report(
    schedules: CycleSchedules,
    *,
    start_step: int,
    total_steps: int | None,
    steps: int,
    skipped_steps: int | None,
    max_learning_rate: float | None,
) -> CycleReport:
    """Return the report of a cycle, with its curves for a plot.

    Args:
        schedules: The schedules that were installed.
        start_step: The optimizer's step at the first step of the cycle.
        total_steps: Length of the cycle in steps, where it is known.
        steps: Steps made.
        skipped_steps: Updates that loss scaling skipped, or None where they could not be counted.
        max_learning_rate: The peak, or None where the schedule was given.
    """
    length: int | None = getattr(schedules.learning_rate, "total_steps", total_steps)
    shown = np.unique(np.linspace(0, max(length or steps, 1) - 1, MAX_STEPS_SHOWN).round().astype(np.int64))
    curves = [
        None if schedule is None else np.array([evaluate(schedule, start_step + step) for step in shown.tolist()])
        for schedule in (schedules.learning_rate, schedules.momentum)
    ]
    return CycleReport(
        schedule=describe_schedule(schedules.learning_rate),
        momentum=schedules.momentum_pair,
        start_step=start_step,
        total_steps=length,
        steps=steps,
        skipped_steps=skipped_steps,
        max_learning_rate=max_learning_rate,
        steps_shown=shown,
        learning_rates=np.empty(0) if curves[0] is None else curves[0],
        momenta=curves[1],
    )
