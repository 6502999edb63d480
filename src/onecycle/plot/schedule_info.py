"""The data of the plots of a schedule and of a cycle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle.results.cycle_report import CycleReport
from onecycle.results.fine_tune_report import FineTuneReport
from onecycle.schedules.sampling import MAX_POINTS, corner_steps, shown_steps

Array = NDArray[np.float64]


class HasValues(Protocol):
    """A schedule that can be evaluated at every step. Its `phases` are drawn if it has any."""

    def values(self) -> NDArray[np.float64]:
        """Return the value at each step."""
        ...


@dataclass(frozen=True)
class SchedulePicture:
    """A schedule, ready to draw.

    Attributes:
        steps: `(n,)`, the steps: 0 ... T-1, or some of them.
        values: `(n,)`, learning rate at these steps.
        momentum: `(n,)`, momentum at these steps, or None.
        phases: (name, start, stop) of each phase, in steps.
    """

    steps: Array
    values: Array
    momentum: Array | None
    phases: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class CyclePicture:
    """The cycle of a training, ready to draw.

    Attributes:
        steps: `(k,)`, steps of the cycle, counted from 0.
        learning_rates: `(k,)`, learning rate at these steps.
        momenta: `(k,)`, momentum at these steps, or None.
        steps_made: Number of steps completed.
        label: How many steps were completed, in words.
        title: The peak, where it is known.
        caption: The schedule, the momentum, and what picked the peak.
    """

    steps: Array
    learning_rates: Array
    momenta: Array | None
    steps_made: int
    label: str
    title: str
    caption: str

    @property
    def shaded_until(self) -> float:
        """End of the completed part: the number of completed steps, but at most the end of the curve."""
        return min(float(self.steps_made), float(self.steps[-1]) + 1.0) if len(self.steps) else 0.0

    def made(self, values: Array) -> tuple[Array, Array]:
        """Return steps and values of the completed part of a curve; its last step is interpolated.

        Args:
            values: `(k,)`, `learning_rates` or `momenta`.
        """
        if not len(self.steps):
            return self.steps, values
        last = min(self.steps_made - 1.0, float(self.steps[-1]))  # steps are counted from 0
        before = self.steps < last
        if last < self.steps[0]:
            return self.steps[before], values[before]
        return np.append(self.steps[before], last), np.append(values[before], np.interp(last, self.steps, values))


def picture_of_schedule(schedule: HasValues, momentum: HasValues | ArrayLike | None = None) -> SchedulePicture:
    """Return the data of a schedule's plot. A long schedule of onecycle is evaluated only at the steps to draw.

    Args:
        schedule: The learning rate.
        momentum: The momentum, as a schedule or as one number for each step, or None.

    Raises:
        ValueError: If the momentum does not have one number for each step.
    """
    phases = [(phase.name, phase.start, phase.stop) for phase in getattr(schedule, "phases", ())]
    total_steps = getattr(schedule, "total_steps", 0)
    if not hasattr(schedule, "value_at") or total_steps <= MAX_POINTS:
        return schedule_picture(schedule.values(), _values(momentum), phases)
    steps = shown_steps(total_steps, corner_steps(schedule, total_steps))
    rates = [schedule.value_at(step) for step in steps]
    if momentum is not None and hasattr(momentum, "value_at"):
        return schedule_picture(rates, [momentum.value_at(step) for step in steps], phases, steps)
    momenta = None if momentum is None else np.asarray(_values(momentum))
    if momenta is not None and momenta.shape == (total_steps,):
        momenta = momenta[steps]
    return schedule_picture(rates, momenta, phases, steps)


def schedule_picture(
    values: ArrayLike,
    momentum: ArrayLike | None = None,
    phases: Iterable[tuple[str, float, float]] = (),
    steps: ArrayLike | None = None,
) -> SchedulePicture:
    """Return the data of a schedule's plot.

    Args:
        values: Float array, `(n,)`, learning rates.
        momentum: Float array, `(n,)`, or None.
        phases: (name, start, stop) of each phase in steps, in order.
        steps: Integers, `(n,)`, the steps at which these are the values. Defaults to 0 ... n-1.

    Raises:
        ValueError: If `values` and `momentum` have different shapes or more than one dimension.
    """
    rates = np.asarray(values, dtype=np.float64)
    momenta = None if momentum is None else np.asarray(momentum, dtype=np.float64)
    if rates.ndim != 1 or (momenta is not None and momenta.shape != rates.shape):
        raise ValueError(
            "Arguments `values` and `momentum` must have one number for each step. "
            f"Received: shapes {rates.shape} and {None if momenta is None else momenta.shape}"
        )
    at = np.arange(len(rates), dtype=np.float64) if steps is None else np.asarray(steps, dtype=np.float64)
    return SchedulePicture(at, rates, momenta, tuple((str(name), float(a), float(b)) for name, a, b in phases))


def cycle_picture(report: CycleReport) -> CyclePicture:
    """Return the data of a cycle's plot."""
    of_total = "" if report.total_steps is None else f" of {report.total_steps}"
    skipped = f", {report.skipped_steps} skipped by loss scaling" if report.skipped_steps else ""
    peak = report.max_learning_rate
    return CyclePicture(
        steps=report.steps_shown.astype(np.float64),
        learning_rates=report.learning_rates,
        momenta=report.momenta,
        steps_made=report.steps,
        label=f"{report.steps}{of_total} steps completed{skipped}",
        title="Learning rate cycle" if peak is None else f"Peak learning rate: {peak:.3g}",
        caption=f"{report.description}. {report.reason or ''}".rstrip(),
    )


def fine_tuning_picture(report: FineTuneReport) -> SchedulePicture:
    """Return the data of a plot of both phases of a fine-tuning, one after the other."""
    names = {id(report.head_cycle): "head alone", id(report.cycle): "all layers"}
    start, phases = 0.0, []
    for cycle in report.phases:
        phases.append((names[id(cycle)], start, start + (cycle.total_steps or cycle.steps)))
        start = phases[-1][2]
    with_momentum = any(cycle.momenta is not None for cycle in report.phases)
    momenta = [np.full(len(c.steps_shown), np.nan) if c.momenta is None else c.momenta for c in report.phases]
    return SchedulePicture(
        steps=np.concatenate([c.steps_shown + phase[1] for c, phase in zip(report.phases, phases, strict=True)]),
        values=np.concatenate([cycle.learning_rates for cycle in report.phases]),
        momentum=np.concatenate(momenta) if with_momentum else None,
        phases=tuple(phases),
    )


def _values(momentum: HasValues | ArrayLike | None) -> ArrayLike | None:
    values = getattr(momentum, "values", None)
    return values() if callable(values) else momentum  # type: ignore[return-value]  # without `values` it is an array
