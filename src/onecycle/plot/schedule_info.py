"""The data of the plots of a schedule and of a cycle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle.results.cycle_report import CycleReport

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SchedulePicture:
    """A schedule, ready to draw.

    Attributes:
        values: `(T,)`, learning rate at steps 0 ... T-1.
        momentum: `(T,)`, momentum at the same steps, or None.
        phases: (name, start, stop) of each phase, in steps.
    """

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


def schedule_picture(
    values: ArrayLike, momentum: ArrayLike | None = None, phases: Iterable[tuple[str, float, float]] = ()
) -> SchedulePicture:
    """Return the data of a schedule's plot.

    Args:
        values: Float array, `(T,)`, learning rate at steps 0 ... T-1.
        momentum: Float array, `(T,)`, or None.
        phases: (name, start, stop) of each phase in steps, in order.

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
    return SchedulePicture(rates, momenta, tuple((str(name), float(a), float(b)) for name, a, b in phases))


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
