"""One cycle inside one call of `fit`: how long it is, where it begins, putting it in and taking it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from onecycle import backends
from onecycle import keras_internals as internals
from onecycle._schedule_base import Schedule
from onecycle.hyperparameters import has_momentum, schedule_hyperparameters
from onecycle.installation import installed_state, reinstate, uninstall
from onecycle.left_behind import Borrowed

DEFAULT_MOMENTUM = (0.95, 0.85)  # Smith 2018 (1803.09820), section 4; PyTorch's and fastai's default too
_RESUMABLE = "_onecycle_resumable"


@dataclass(frozen=True)
class CycleReport:
    """What a cycle did; `fit`'s `History` carries it as `history.onecycle`.

    Attributes:
        schedule: The learning rate, as the call that makes it.
        momentum: The momentum pair (high, low), or None where it was left alone.
        start_step: The optimizer's step counter at the first step of the cycle.
        total_steps: Length of the cycle in steps.
        steps: Steps the counter has made since `start_step`.
        skipped_steps: Batches whose update loss scaling skipped, by which the cycle lags; None where they could not be
            counted.
        max_learning_rate: The peak, or None where the schedule was given.
        range_test: The `RangeTest` that picked the peak, or None.
        sweep: The `Sweep` that picked it, or None.
    """

    schedule: str
    momentum: tuple[float, float] | None
    start_step: int
    total_steps: int | None
    steps: int
    skipped_steps: int | None
    max_learning_rate: float | None = None
    range_test: Any = None
    sweep: Any = None

    @property
    def reason(self) -> str | None:
        """What picked the peak, why that one, and at what cost; None where it was given."""
        if self.sweep is not None:
            return f"Picked by a sweep that cost {self.sweep.cost:.2g} of a run. {self.sweep.pick.reason}"
        if self.range_test is not None:
            steps = len(self.range_test.learning_rates)
            return f"Picked by a range test of {steps} steps. {self.range_test.suggestion.reason}"
        return None

    def summary(self) -> str:
        """The report as a few sentences."""
        momentum = "" if self.momentum is None else f", momentum {self.momentum[0]:g} to {self.momentum[1]:g} and back"
        skipped = f", {self.skipped_steps} skipped by loss scaling" if self.skipped_steps else ""
        told = f"{self.schedule}{momentum}; {self.steps} steps of a cycle of {self.total_steps}{skipped}."
        return told if self.reason is None else f"{told} {self.reason}"


class CycleRun:
    """Schedules installed for one `fit`, with a way back however it ends.

    Args:
        model: The model whose `fit` runs.
        learning_rate: The schedule of the rate.
        momentum: The schedule of the momentum, or None to leave it alone.

    Attributes:
        first_step: The optimizer's step counter when the cycle was put in.
        calls: Calls of the compiled training function, counted where updates may be skipped.
    """

    def __init__(self, model: Any, learning_rate: Any, momentum: Any) -> None:
        optimizer = model.optimizer
        self._model = model
        self._train_function = model.train_function
        self._installed_before = [(inner, installed_state(inner)) for inner in internals.inner_optimizers(optimizer)]
        self._counts_calls = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self.first_step = internals.raw_step(optimizer)
        self.calls = 0
        schedule_hyperparameters(model, learning_rate=learning_rate, momentum=momentum)
        self._borrowed = Borrowed(model, self._undo, self._put)
        self._put()

    def end(self) -> None:
        """Give the model its optimizer and training function back; once is enough, again is no error."""
        self._borrowed.give_back()

    def batches(self, epochs: int, per_epoch: int | None) -> int | None:
        """Batches trained on in so many epochs, skipped ones included; None where it cannot be told."""
        per_call = self._model.steps_per_execution
        if per_call == 1:
            return self.calls
        # The last call of an epoch may have had fewer batches, and that of a stopped epoch none of the rest.
        whole_epochs = per_epoch is not None and self.calls == epochs * -(-per_epoch // per_call)
        return epochs * per_epoch if per_epoch is not None and whole_epochs else None

    def _undo(self) -> None:
        for inner, before in self._installed_before:
            if uninstall(inner):  # else somebody has unscheduled everything, which stands
                reinstate(inner, before)
        # A training function that is not ours may hold the cycle: the next `fit` makes a new one.
        is_ours = self._model.train_function is self._scheduled
        self._model.train_function = self._train_function if is_ours else None

    def _put(self) -> None:
        """Have the calls of the training function counted, where that is needed to know of skipped updates."""
        if self._counts_calls:
            self._model.train_function = self._counting(self._model.train_function)
        self._scheduled = self._model.train_function

    def _counting(self, train_function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.calls += 1
            return train_function(*args)

        return counted


class Resumption:
    """Where the cycle of a `fit` begins that `BackupAndRestore` may let resume an interrupted one.

    To be made before training begins: what is restored then takes the step counter back with it.
    """

    def __init__(self, callback: Any, model: Any) -> None:
        optimizer = getattr(model, "optimizer", None)
        self._model = model
        self._step_before = 0 if optimizer is None else internals.raw_step(optimizer)
        self._folders, self._restores = internals.backups_to_restore(callback)

    def begun_at(self, now: int) -> int:
        """The step at which the cycle began: now, or before the interruption where one is resumed."""
        if not self._restores:
            return now
        folders, begun_at = vars(self._model).get(_RESUMABLE, (None, None))
        return begun_at if folders == self._folders else min(self._step_before, now)

    def began(self, step: int) -> None:
        """Remember it on the model: the same model may resume with its counter anywhere."""
        if self._folders:
            internals.set_quietly(self._model, **{_RESUMABLE: (self._folders, step)})

    def ended(self) -> None:
        """Forget it: the next run is a new one."""
        internals.unset_quietly(self._model, _RESUMABLE)


class _Offset(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, begun later. Lives only while it is installed, so that it is never saved."""

    def __init__(self, schedule: Any, start_step: int) -> None:
        self.schedule = schedule
        self.start_step = start_step

    def __call__(self, step: Any) -> Any:
        return self.schedule(step - self.start_step)


def build_choosing(optimizer: Any, model: Any) -> None:
    """Build a `MultiOptimizer`, which may choose its optimizers only then; else Keras builds it in the first step."""
    if internals.is_multi_optimizer(optimizer):
        build_optimizer(optimizer, model)


def build_optimizer(optimizer: Any, model: Any) -> None:
    """Build an optimizer that has not trained the model yet."""
    if not optimizer.built:
        with backends.placement(model):
            optimizer.build(model.trainable_variables)


def begun_at(schedule: Any, step: int) -> Any:
    """The schedule with its first step at the optimizer's given step."""
    if isinstance(schedule, Schedule):
        return schedule.shifted(step)
    return _Offset(schedule, step) if step else schedule


def told(schedule: Any) -> str:
    """A schedule as the call that makes it."""
    if isinstance(schedule, _Offset):
        return f"{told(schedule.schedule)} from step {schedule.start_step}"
    if isinstance(schedule, Schedule):
        return repr(schedule)
    try:
        config = schedule.get_config()
    except NotImplementedError:  # a person's own, which Keras lets be without one
        return type(schedule).__name__
    return f"{type(schedule).__name__}({', '.join(f'{name}={value!r}' for name, value in config.items())})"


def check_schedule(schedule: Any, total_steps: int | None, momentum: Any) -> None:
    """Raise for a ready schedule that does not go with the other arguments."""
    if isinstance(momentum, tuple):
        matching_momentum(schedule, momentum)
    own = getattr(schedule, "total_steps", None)
    if None not in (own, total_steps) and own != total_steps:
        raise ValueError(
            f"Argument `total_steps` must be that of the schedule, or left out. Received: total_steps={total_steps}, "
            f"schedule={schedule!r}. Pass a callable that takes the number of total steps and returns a schedule."
        )


def momentum_pair(asked: Any, schedule: Any, optimizer: Any) -> Any:
    """The momentum (high, low) that is meant: with "auto" the default one, where schedule and optimizer have any."""
    if asked != "auto":
        return asked
    return DEFAULT_MOMENTUM if hasattr(schedule, "momentum") and has_momentum(optimizer) else None


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
