"""The specification of a cycle: its peak, momentum and shape, and the schedules of a run that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.hyperparameters.conflicts import refuse_conflicting_callbacks
from onecycle.hyperparameters.current_values import layer_rates_in_effect
from onecycle.hyperparameters.layer_rates import LayerRates, LayerRatesArgument, resolve_layer_rates
from onecycle.hyperparameters.optimizer_traits import has_momentum, require_momentum
from onecycle.hyperparameters.schedule_checks import check_schedule, sampled_steps
from onecycle.keras_support.optimizers import steps_per_update
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.schedules.delayed import starting_at
from onecycle.schedules.one_cycle import OneCycle
from onecycle.suggestions.arguments import check_learning_rate, check_number, described

DEFAULT_MOMENTUM = (0.95, 0.85)  # Smith 2018 (1803.09820), section 4; the default of PyTorch and fastai too
AUTO = "range test"  # what "auto" stands for
SEARCHES = ("auto", "range test")  # which leave the model unchanged
PICKERS = (*SEARCHES, "race")
TRIAL_STEPS = 1000  # with which a user's callable is tried before a peak is sought for it

MomentumPair: TypeAlias = tuple[float, float]
ScheduleMaker: TypeAlias = Callable[[int, float], LearningRateSchedule]


@dataclass(frozen=True)
class CycleSchedules:
    """The schedules of one run.

    Attributes:
        learning_rate: The learning rate.
        momentum: The momentum, or None if it is left unchanged.
        momentum_pair: The momentum's (high, low), or None.
    """

    learning_rate: LearningRateSchedule
    momentum: LearningRateSchedule | None
    momentum_pair: MomentumPair | None

    @property
    def by_name(self) -> dict[str, LearningRateSchedule]:
        """The schedules by the names of their columns in the history."""
        rate = {"learning_rate": self.learning_rate}
        return rate if self.momentum is None else {**rate, "momentum": self.momentum}


@dataclass(frozen=True)
class CycleSpec:
    """The specification of a cycle, from which the schedules of each run are made, whatever trains it.

    Attributes:
        max_learning_rate: The peak; or how to find it, "auto", "range test" or "race"; or the result that holds it; or
            None if the schedule has its own.
        momentum: "auto" for (0.95, 0.85) if schedule and optimizer have a momentum to cycle, a pair (high, low), or
            None to leave it unchanged.
        schedule: None for the article's cycle, a ready schedule, or a callable (total_steps, max_learning_rate) ->
            schedule.
        layer_rates: As in `schedule_hyperparameters`, or resolved.
        decay: The same.

    Raises:
        TypeError, ValueError: For a value that is none of these.
    """

    max_learning_rate: float | str | RangeTest | Race | None = "auto"
    momentum: str | MomentumPair | None = "auto"
    schedule: LearningRateSchedule | ScheduleMaker | None = None
    layer_rates: LayerRatesArgument | LayerRates = None
    decay: float | None = None

    def __post_init__(self) -> None:
        # The dataclass is frozen, so the checked pair cannot be assigned in the usual way.
        object.__setattr__(self, "momentum", checked_momentum(self.momentum))
        if self.schedule is not None and not (callable(self.schedule) and not isinstance(self.schedule, type)):
            raise TypeError(
                "Argument `schedule` must be a keras LearningRateSchedule, or a callable (total_steps, "
                f"max_learning_rate) -> schedule. Received: schedule={described(self.schedule)}"
            )
        peak = self.max_learning_rate
        if isinstance(peak, str) and peak not in PICKERS:
            raise ValueError(
                'Argument `max_learning_rate` must be a number, "auto", "range test", "race" or a result of these.'
                f"{removed_search(peak)} Received: max_learning_rate={peak!r}"
            )
        if self.has_ready_schedule:
            self._check_ready_schedule()
        elif not isinstance(peak, str | RangeTest | Race) and (peak is not None or self.schedule is None):
            object.__setattr__(self, "max_learning_rate", check_learning_rate("max_learning_rate", peak))

    @property
    def has_ready_schedule(self) -> bool:
        """Whether a complete schedule is given, with its own peak and length."""
        return isinstance(self.schedule, LearningRateSchedule)

    @property
    def finds_peak(self) -> bool:
        """Whether the peak has to be found before training."""
        return isinstance(self.max_learning_rate, str) and not self.has_ready_schedule

    @property
    def picker(self) -> str | None:
        """What finds the peak, "range test" or "race"; None if it is given."""
        if not isinstance(self.max_learning_rate, str) or self.has_ready_schedule:
            return None
        return AUTO if self.max_learning_rate == "auto" else self.max_learning_rate

    @property
    def peak(self) -> float | None:
        """The peak as a number; None if it is not known yet or belongs to the schedule."""
        if self.max_learning_rate is None or isinstance(self.max_learning_rate, str):
            return None
        if isinstance(self.max_learning_rate, RangeTest | Race):
            return self.max_learning_rate.learning_rate
        return float(self.max_learning_rate)

    def with_peak(self, max_learning_rate: float) -> CycleSpec:
        """Return the same specification with this peak; a ready schedule keeps its own."""
        return self if self.has_ready_schedule else replace(self, max_learning_rate=max_learning_rate)

    def check(self, model: keras.Model, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Check before training that the model's optimizer and the other callbacks are compatible with the cycle.

        Args:
            model: The compiled model.
            callbacks: The other callbacks of the training.

        Raises:
            ValueError: For an optimizer without a momentum to cycle, another callback that sets the
                learning rate, a result without a learning rate, or rates of layers that the model does not have.
        """
        refuse_conflicting_callbacks("OneCycleScheduler", callbacks)
        if isinstance(self.max_learning_rate, RangeTest | Race):
            self.max_learning_rate.learning_rate  # noqa: B018 - raises where the result suggests none
        if isinstance(self.momentum, tuple):
            require_momentum(model.optimizer)
        self.layer_rates_of(model)
        if self.finds_peak and self.schedule is not None:
            # So that an error in the user's callable comes before the search for the peak.
            self.with_peak(1.0).schedules(model.optimizer, TRIAL_STEPS)

    def layer_rates_of(self, model: keras.Model) -> LayerRates | None:
        """Return the rates of layers in this cycle: those given, or those that are installed in the optimizer.

        Args:
            model: The compiled model, which must have its weights if rates are given.

        Raises:
            TypeError, ValueError: If they are not rates of this model's layers.
        """
        given = resolve_layer_rates(model, self.layer_rates, self.decay)
        return layer_rates_in_effect(model.optimizer) if given is None else given

    def schedules(
        self,
        optimizer: keras.optimizers.Optimizer,
        total_steps: int | None,
        start_step: int = 0,
        *,
        counts_from_start: bool = False,
    ) -> CycleSchedules:
        """Return the schedules of a run.

        Args:
            optimizer: The optimizer that will follow them.
            total_steps: Length of the run in steps; None only with a ready schedule.
            start_step: The optimizer's step at which the run begins.
            counts_from_start: Whether the schedules count the steps of the run instead of those of the optimizer.

        Raises:
            TypeError: If the callable does not return a schedule.
            ValueError: For a momentum pair and a schedule that has no matching momentum.
        """
        length = None if total_steps is None else steps_to_last_update(optimizer, total_steps, start_step)
        # The momentum is derived from the shifted schedule, so both begin at the same step.
        schedule = self._schedule_of(length)
        check_schedule("learning_rate", schedule, sampled_steps(0, total_steps))
        rate = starting_at(schedule, 0 if counts_from_start else start_step)
        pair = self._pair_for(rate, optimizer)
        return CycleSchedules(rate, None if pair is None else matching_momentum(rate, pair), pair)

    def _schedule_of(self, total_steps: int | None) -> LearningRateSchedule:
        if isinstance(self.schedule, LearningRateSchedule):
            return self.schedule
        if total_steps is None:
            raise ValueError("Argument `total_steps` must be known to make a schedule. Received: total_steps=None")
        # Only the callables of `OneCycleScheduler` come without a peak, and they ignore this argument.
        peak = math.nan if self.peak is None else self.peak
        schedule = OneCycle(peak, total_steps) if self.schedule is None else self.schedule(total_steps, peak)
        if not isinstance(schedule, LearningRateSchedule):
            raise TypeError(
                "The callable given as `schedule` must return a keras LearningRateSchedule. "
                f"Received: {schedule!r} for total_steps={total_steps}"
            )
        return schedule

    def _pair_for(self, schedule: LearningRateSchedule, optimizer: keras.optimizers.Optimizer) -> MomentumPair | None:
        # "auto" asks for nothing that the schedule or the optimizer lacks; an explicit pair does.
        if isinstance(self.momentum, str):
            return DEFAULT_MOMENTUM if hasattr(schedule, "momentum") and has_momentum(optimizer) else None
        return self.momentum

    def _check_ready_schedule(self) -> None:
        if self.max_learning_rate not in ("auto", None):
            raise ValueError(
                "A schedule has its own learning rates: pass either `schedule` or `max_learning_rate`. "
                f"Received: schedule={self.schedule!r}, max_learning_rate={self.max_learning_rate!r}"
            )
        if isinstance(self.momentum, tuple):
            matching_momentum(self.schedule, self.momentum)


def removed_search(peak: str) -> str:
    """Return what replaces a search that is no longer there, as the continuation of a message; "" for other strings."""
    if peak != "sweep":
        return ""
    return ' The sweep was removed; a race finds better peaks: "race" in `fit_one_cycle`, or `race_learning_rates`.'


def steps_to_last_update(optimizer: keras.optimizers.Optimizer, steps: int, start_step: int) -> int:
    """Return how many of these steps there are up to the last update of the weights, which has the last rate.

    With gradient accumulation, further batches at the end are part of no update.

    Args:
        optimizer: The optimizer.
        steps: Length of the training in steps.
        start_step: The optimizer's step counter before it.
    """
    batches = steps_per_update(optimizer)
    length = (start_step + steps) // batches * batches - start_step
    return length if length > 0 else steps


def checked_momentum(momentum: object) -> str | MomentumPair | None:
    """Return "auto", None, or a pair (high, low) of floats.

    Raises:
        ValueError: For anything else, or a pair that is not 0 <= low <= high < 1.
    """
    if momentum is None or (isinstance(momentum, str) and momentum == "auto"):
        return momentum
    if not isinstance(momentum, tuple | list) or len(momentum) != 2:
        raise ValueError(
            f'Argument `momentum` must be "auto", a pair (high, low) or None. Received: momentum={momentum!r}'
        )
    high, low = (check_number("momentum", value, minimum=0.0) for value in momentum)
    if not low <= high < 1:
        raise ValueError(
            f"Argument `momentum` must be a pair (high, low) with 0 <= low <= high < 1. "
            f"Received: momentum={tuple(momentum)}"
        )
    return high, low


def matching_momentum(schedule: LearningRateSchedule, pair: MomentumPair) -> LearningRateSchedule:
    """Return the momentum that goes with a schedule.

    Args:
        schedule: The learning rate's schedule.
        pair: The momentum (high, low).

    Raises:
        ValueError: For a schedule that has no matching momentum.
    """
    if not hasattr(schedule, "momentum"):
        raise ValueError(
            f"A {type(schedule).__name__} has no matching momentum. Pass `momentum=None`, or schedule a momentum with "
            "`schedule_hyperparameters(model, momentum=...)`."
        )
    return schedule.momentum(high=pair[0], low=pair[1])
