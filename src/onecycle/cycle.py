"""One cycle inside one call of `fit`: how long it is, where it begins, putting it in and taking it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from onecycle import keras_internals as internals
from onecycle._schedule_base import Schedule
from onecycle.hyperparameters import schedule_hyperparameters
from onecycle.installation import installed_state, reinstate

_KEY = "_onecycle_cycle"


@dataclass(frozen=True)
class CycleReport:
    """What a cycle did; `fit`'s `History` carries it as `history.onecycle`.

    Attributes:
        schedule: The learning rate, as the call that makes it.
        momentum: The momentum pair (high, low), or None where it was left alone.
        start_step: The optimizer's step counter at the first step of the cycle.
        total_steps: Length of the cycle in steps.
        steps: Steps the counter made while the cycle was installed.
        skipped_steps: Batches whose update loss scaling skipped, by which the cycle lags; None where they could not be
            counted.
        max_learning_rate: The peak, or None where the schedule was given.
        range_test: The `RangeTest` that picked the peak, or None.
    """

    schedule: str
    momentum: tuple[float, float] | None
    start_step: int
    total_steps: int | None
    steps: int
    skipped_steps: int | None
    max_learning_rate: float | None = None
    range_test: Any = None

    def summary(self) -> str:
        """The report as a sentence or two."""
        momentum = "" if self.momentum is None else f", momentum {self.momentum[0]:g} to {self.momentum[1]:g} and back"
        skipped = f", {self.skipped_steps} skipped by loss scaling" if self.skipped_steps else ""
        return f"{self.schedule}{momentum}; {self.steps} of {self.total_steps} steps made{skipped}."


class CycleRun:
    """Schedules installed for one `fit`, with a way back.

    Keras calls no callback when `fit` ends by an exception. So the training function is wrapped by one that notices
    the next `fit` (it has another `History`) and takes the cycle out before its first step.
    """

    def __init__(self, model: Any, learning_rate: Any, momentum: Any) -> None:
        self._model = model
        self._history = getattr(model, "history", None)
        self._train_function = model.train_function
        self._installed_before = [
            (inner, installed_state(inner)) for inner in internals.inner_optimizers(model.optimizer)
        ]
        self.start_step = internals.raw_step(model.optimizer)
        self.calls = 0
        schedule_hyperparameters(model, learning_rate=learning_rate, momentum=momentum)
        self._compiled = model.train_function
        model.train_function = self._step
        internals.set_quietly(model, **{_KEY: self})

    @staticmethod
    def left_by_exception(model: Any) -> CycleRun | None:
        """The cycle of an earlier `fit` that never came to its end."""
        return vars(model).get(_KEY)

    def end(self) -> None:
        """Give the model its optimizer and training function back; once is enough, again is no error."""
        if vars(self._model).get(_KEY) is not self:
            return
        internals.unset_quietly(self._model, _KEY)
        for inner, state in self._installed_before:
            reinstate(inner, state)
        self._model.train_function = self._train_function

    def _step(self, *args: Any) -> Any:
        if getattr(self._model, "history", None) is not self._history:
            self.end()
            return self._model.train_function(*args)
        self.calls += 1
        return self._compiled(*args)


class _Offset(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, begun later. Lives only while it is installed, so that it is never saved."""

    def __init__(self, schedule: Any, start_step: int) -> None:
        self._schedule = schedule
        self.start_step = start_step

    def __call__(self, step: Any) -> Any:
        return self._schedule(step - self.start_step)


def begun_at(schedule: Any, step: int) -> Any:
    """The schedule with its first step at the optimizer's given step."""
    if isinstance(schedule, Schedule):
        return schedule.shifted(step)
    return _Offset(schedule, step) if step else schedule


def matching_momentum(schedule: Any, pair: tuple[float, float]) -> Any:
    """The momentum that goes with a schedule.

    Raises:
        ValueError: For a schedule that is no cycle and so has no momentum of its own.
    """
    make: Callable[..., Any] | None = getattr(schedule, "momentum", None)
    if make is None:
        raise ValueError(
            f"A {type(schedule).__name__} is no cycle, so no momentum belongs to it. Pass `momentum=None`, "
            "or schedule one with `schedule_hyperparameters(model, momentum=...)`."
        )
    return make(high=pair[0], low=pair[1])


def settle_length(
    params: dict[str, Any], epoch: int, *, total_steps: int | None, steps_done: int, skips_updates: bool
) -> int | None:
    """Length of the cycle: the steps of this `fit`, and those that a resumed run has behind it.

    Args:
        params: Keras' `callback.params`.
        epoch: The first epoch of this `fit`.
        total_steps: The length asked for, if any.
        steps_done: Steps of the original cycle made before this `fit`, 0 unless it resumes.
        skips_updates: Whether the counter may lag behind the batches.
    """
    if total_steps is not None:
        return total_steps
    per_epoch = params.get("steps")
    if per_epoch is None:
        return None
    # A backup in mid-epoch has its epoch begun anew; the cycle stays as long as it was.
    whole_epochs = -(-steps_done // per_epoch) if skips_updates else steps_done // per_epoch
    return int((params["epochs"] - epoch + min(whole_epochs, epoch)) * per_epoch)


def count_skipped(optimizer: Any, batches: int | None, steps: int) -> int | None:
    """Updates that loss scaling skipped: batches that the step counter did not count."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return 0
    return None if batches is None else batches - steps


