"""The rising learning rate of a range test, and the result of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, Unpack

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.hyperparameters.current_values import layer_rates_in_effect
from onecycle.hyperparameters.layer_rates import LayerRates
from onecycle.keras_support import backends
from onecycle.keras_support.batch_facts import BatchFacts
from onecycle.keras_support.optimizers import optimizer_names, steps_per_update
from onecycle.keras_support.origin import origin_of
from onecycle.results.range_test import RangeTest, RangeTestSettings
from onecycle.schedules import curves
from onecycle.schedules.base import Schedule
from onecycle.suggestions.divergence import StopReason
from onecycle.suggestions.suggestion import Rule


class Ramp(Schedule):
    """The learning rate of a range test, rising from the minimum at step 0 to the maximum at the last update.

    With gradient accumulation, the rate is the same in all steps of one update.
    """

    def __init__(
        self,
        min_learning_rate: float,
        max_learning_rate: float,
        updates: int,
        spacing: str = "exponential",
        steps_per_update: int = 1,
        start_step: int = 0,
    ) -> None:
        self.min_learning_rate, self.max_learning_rate = float(min_learning_rate), float(max_learning_rate)
        self.updates, self.spacing, self.steps_per_update = updates, spacing, steps_per_update
        self.total_steps = updates * steps_per_update
        self._phases = curves.range_ramp(min_learning_rate, max_learning_rate, updates, spacing)
        self._set_curve(curves.HeldCurve(curves.Curve(self._phases), steps_per_update, start_step))

    @property
    def phases(self) -> tuple[curves.Phase, ...]:
        """The single phase, in training steps."""
        zero, length = self.start_step, self.steps_per_update
        return tuple(replace(p, start=zero + p.start * length, stop=zero + p.stop * length) for p in self._phases)

    def update_rates(self, updates: int) -> NDArray[np.float64]:
        """Return the rates of the first updates (n,)."""
        return self.shifted(0).values()[:: self.steps_per_update][:updates]


def update_losses(losses: Sequence[float] | NDArray[np.float64], steps_per_update: int) -> NDArray[np.float64]:
    """Return the mean loss of each complete update.

    Args:
        losses: (n,) the loss of each batch, from the first one of an update.
        steps_per_update: Number of batches whose gradients are accumulated for one update.
    """
    updates = len(losses) // steps_per_update
    complete = np.asarray(losses[: updates * steps_per_update], dtype=np.float64)
    return np.asarray(complete.reshape(updates, steps_per_update).mean(axis=1))


class FinishedRamp(Protocol):
    """A ramp that is complete, whether it was run inside `fit` or as a compiled program."""

    @property
    def losses(self) -> NDArray[np.float64]:
        """The true loss of each update (n,), up to and including the one that ended the test."""
        ...

    @property
    def steps_made(self) -> int:
        """The number of training steps made, those after the end of the test included."""
        ...

    @property
    def facts(self) -> BatchFacts | None:
        """What is known about the batches, where the data was not checked before the test."""
        ...

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the test ended; None while it runs."""
        ...

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the rates (n,), increasing, and the loss at each (n,)."""
        ...


def range_test_result(
    model: keras.Model,
    runs: Sequence[FinishedRamp],
    *,
    rule: str | Rule,
    rates_of_layers: LayerRates | None = None,
    **settings: Unpack[RangeTestSettings],
) -> RangeTest:
    """Return the result of one or several runs of the same ramp.

    Args:
        model: The model that was tested.
        runs: The runs. The reason why the test ended is that of the first one.
        rule: Name of the deciding rule, or a function.
        rates_of_layers: Those of the test; by default those that are installed.
        **settings: Settings of the test, for the result.
    """
    measured = [run.curve() for run in runs]
    # Runs may stop at different steps; the longest one has all rates, and the others are padded.
    rates = max((rates for rates, _ in measured), key=len)
    losses = np.full((len(runs), len(rates)), np.nan)
    for row, (_, run_losses) in zip(losses, measured, strict=True):
        row[: len(run_losses)] = run_losses
    batches = steps_per_update(model.optimizer)
    rates_of_layers = rates_of_layers or layer_rates_in_effect(model.optimizer)
    settings |= {
        "optimizer": optimizer_names(model.optimizer),
        "backend": backends.name(),
        "versions": backends.versions(),
        "origin": origin_of(model),
        "gradient_accumulation_steps": batches if batches > 1 else None,
        "layer_rates": dict(rates_of_layers.described) if rates_of_layers else {},
        "training_steps": sum(run.steps_made for run in runs),
    }
    stop_reason = runs[0].stop_reason or StopReason.DATA_ENDED
    return RangeTest.from_losses(rates, losses if len(runs) > 1 else losses[0], stop_reason, rule=rule, **settings)
