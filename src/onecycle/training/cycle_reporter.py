"""The reports of a callback's cycles: before the first step, for trackers, and when training has ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras

from onecycle.keras_support.optimizers import elapsed_steps
from onecycle.keras_support.origin import origin_of
from onecycle.results.cycle_report import CycleReport
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.training.cycle_spec import CycleSchedules, CycleSpec, steps_to_last_update
from onecycle.training.reporting import make_cycle_report, recorded_numbers
from onecycle.training.tracked_config import describe_hyperparameters


@dataclass(frozen=True)
class CycleReporter:
    """Makes reports.

    Attributes:
        model: The model that is trained.
        spec: The specification of the cycles.
        peak: The peak, or None if a ready schedule was given.
        evidence: The result that picked the peak, or None.
    """

    model: keras.Model
    spec: CycleSpec
    peak: float | None
    evidence: RangeTest | Race | None

    def begun(self, schedules: CycleSchedules, start: int, length: int | None) -> CycleReport:
        """Return the report of a cycle that has made no step yet.

        Args:
            schedules: Its schedules.
            start: The optimizer's step at its first step.
            length: Its length in steps, or None if unknown.
        """
        report = make_cycle_report(
            schedules, start_step=start, total_steps=length, max_learning_rate=self.peak,
            layer_rates=self.spec.layer_rates_of(self.model),
        )  # fmt: skip
        # Batches after the last update of the weights belong to the cycle, though not to its schedule.
        if length is not None and report.total_steps == steps_to_last_update(self.model.optimizer, length, start):
            report = replace(report, total_steps=length)
        return replace(report, evidence=self.evidence, origin=origin_of(self.model))

    def parameters(self, start: int, length: int | None) -> dict[str, object]:
        """Return a cycle that is about to begin, as trackers log it; the arguments are those of `begun`."""
        schedules = self.spec.schedules(self.model.optimizer, length, start)
        described = describe_hyperparameters(self.model.optimizer, schedules)
        return {**described, **self.begun(schedules, start, length).parameters()}

    def finished(self, report: CycleReport, skipped_steps: int | None) -> CycleReport:
        """Return what `begun` returned, after the training.

        Args:
            report: The report.
            skipped_steps: Number of steps whose update was skipped, or None if unknown.
        """
        # A schedule with a `start_step` may begin later than the training ends.
        steps = max(elapsed_steps(self.model.optimizer) - report.start_step, 0)
        history = recorded_numbers(getattr(self.model, "history", None))
        return replace(report, steps=steps, skipped_steps=skipped_steps, history=history)
