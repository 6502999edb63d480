"""One learning rate range test inside one call of `fit`: ramp, record, stop, restore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import inner_optimizers
from onecycle.results.range_test import RangeTest
from onecycle.schedules import curves
from onecycle.schedules.base import PhasedSchedule
from onecycle.suggestions.arguments import count, number, one_of
from onecycle.suggestions.divergence import StopReason
from onecycle.suggestions.rules import Rule, find_rule

MIN_STEPS = 10  # fewer losses tell nothing


class Ramp(PhasedSchedule):
    """The rising learning rate of a range test: `min_learning_rate` at its first step, the maximum at its last."""

    def __init__(
        self,
        min_learning_rate: float,
        max_learning_rate: float,
        total_steps: int,
        spacing: str = "exponential",
        start_step: int = 0,
    ) -> None:
        self.min_learning_rate, self.max_learning_rate = min_learning_rate, max_learning_rate
        self.total_steps, self.spacing = total_steps, spacing
        self._finish(curves.range_ramp(min_learning_rate, max_learning_rate, total_steps, spacing), start_step)


class FinishedRamp(Protocol):
    """What a ramp gives once it is over, however it was run: inside `fit` or as a compiled program."""

    @property
    def losses(self) -> NDArray[np.float64]:
        """(n,) the true loss of each batch, up to and with the one that ended the test."""
        ...

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the test ended; None while it runs."""
        ...

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the rates (n,), increasing, and the loss at each (n,)."""
        ...


def measured(model: Any, runs: Sequence[FinishedRamp], **facts: Any) -> RangeTest:
    """The result of one or several runs of the same ramp."""
    curves_of_runs = [run.curve() for run in runs]
    rates = max((rates for rates, _ in curves_of_runs), key=len)
    losses = np.full((len(runs), len(rates)), np.nan)
    for row, (_, own) in zip(losses, curves_of_runs, strict=True):
        row[: len(own)] = own
    return RangeTest.from_losses(
        rates,
        losses if len(runs) > 1 else losses[0],
        runs[0].stop_reason or StopReason.DATA_ENDED,
        optimizer=" ".join(type(inner).__name__ for inner in inner_optimizers(model.optimizer)),
        backend=backends.name(),
        versions={"keras": keras.__version__, **backends.versions()},
        **facts,
    )


def check_ramp(
    min_learning_rate: float, max_learning_rate: float, num_steps: int, spacing: str, rule: str | Rule
) -> None:
    """Raise a clear error for arguments of a range test that make no sense."""
    number("min_learning_rate", min_learning_rate, above=0.0)
    number("max_learning_rate", max_learning_rate, above=0.0)
    if max_learning_rate <= min_learning_rate:
        raise ValueError(
            "Argument `max_learning_rate` must be above `min_learning_rate`. "
            f"Received: min_learning_rate={min_learning_rate}, max_learning_rate={max_learning_rate}"
        )
    count("num_steps", num_steps, least=MIN_STEPS)
    one_of("spacing", spacing, ("exponential", "linear"))
    if not callable(rule):
        find_rule(rule)
