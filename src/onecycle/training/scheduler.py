"""`OneCycleScheduler`: one cycle in a person's own call of `fit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule as Schedule

from onecycle.hyperparameters import scheduling
from onecycle.hyperparameters.conflicts import refuse_rivals
from onecycle.keras_support.callback_list import callbacks_beside
from onecycle.keras_support.optimizers import build_choosing, raw_step, require_compiled
from onecycle.results.cycle_report import CycleReport
from onecycle.schedules import OneCycle
from onecycle.schedules.starting_at import begun_at, told
from onecycle.suggestions.arguments import count, number
from onecycle.training import cycle_run
from onecycle.training.cycle_spec import check_schedule, matching_momentum, momentum_pair
from onecycle.training.progress_bar import ShownRate
from onecycle.training.resumption import Resumption, settle_length


class OneCycleScheduler(keras.callbacks.Callback):
    """Train with one cycle of the learning rate and the momentum.

    The cycle is put into the optimizer when the first epoch begins and taken out when training ends: afterwards the
    optimizer is as it was, its rate included, and the next `fit` with this callback runs a whole cycle of its own. The
    values are computed inside the compiled step (see `schedule_hyperparameters`); nothing runs per batch but what
    shows the rate in Keras' progress bar, where there is one.

    When `keras.callbacks.BackupAndRestore` resumes an interrupted run, the original cycle is continued. After an
    exception the cycle is taken out by the next `fit` or by `unschedule_hyperparameters`. `History` carries a
    `CycleReport` as `history.onecycle`.

    Args:
        max_learning_rate: The peak of the cycle, a number > 0; or give `schedule`.
        total_steps: Length of the cycle in steps (training batches). By default the epochs of this `fit` times the
            steps per epoch; needed where the data has no known length.
        momentum: `"auto"` for (0.95, 0.85) where the optimizer has a momentum and nothing where it has none, a pair
            (high, low), or None to leave it alone.
        schedule: In place of `max_learning_rate`: a schedule, or a callable that takes the number of total steps and
            returns one.

    Raises:
        TypeError, ValueError: For bad arguments; and before training for an explicit pair and an optimizer without
            momentum, for data of unknown length without `total_steps`, and for another callback beside it that sets
            the learning rate.

    Example:

    ```python
    model.fit(x, y, epochs=10, callbacks=[onecycle.OneCycleScheduler(0.1)])
    ```

    References:
        L. N. Smith, A disciplined approach to neural network hyper-parameters (2018), arXiv:1803.09820, section 4.
    """

    sets_learning_rate = True  # see `refuse_rivals`

    def __init__(
        self,
        max_learning_rate: float | None = None,
        *,
        total_steps: int | None = None,
        momentum: str | tuple[float, float] | None = "auto",
        schedule: Schedule | Callable[[int], Schedule] | None = None,
    ) -> None:
        super().__init__()
        _check_one_of(max_learning_rate, schedule)
        if max_learning_rate is not None:
            number("max_learning_rate", max_learning_rate, above=0)
        if total_steps is not None:
            count("total_steps", total_steps)
        self.max_learning_rate = max_learning_rate
        self.total_steps = total_steps
        self.momentum = _checked_pair(momentum)
        self.schedule = schedule
        if isinstance(schedule, Schedule):
            check_schedule(schedule, total_steps, self.momentum)
        self._run: cycle_run.CycleRun | None = None

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        # Only here is it before any other callback's `on_train_begin`, where `BackupAndRestore` restores.
        self._resumption = Resumption(self, model)

    def on_train_begin(self, logs: Any = None) -> None:
        require_compiled(self.model)
        refuse_rivals(self, callbacks_beside(self))
        if isinstance(self.momentum, tuple):
            scheduling.require_momentum(self.model.optimizer)
        if self.total_steps is None and self.params.get("steps") is None and not isinstance(self.schedule, Schedule):
            raise ValueError(
                "This data has no known length, so neither has the cycle. "
                "Pass `total_steps` to OneCycleScheduler, or `steps_per_epoch` to `fit`."
            )
        self._run = None
        self._epochs = 0
        self._shown = ShownRate(callbacks_beside(self))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._run is None:
            self._begin(epoch)
        self._shown.first_step = raw_step(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._epochs += 1

    def on_train_end(self, logs: Any = None) -> None:
        self._shown.end()
        if self._run is None:
            return
        self._run.end()
        self._resumption.ended()
        history = getattr(self.model, "history", None)
        if history is not None:
            history.onecycle = self._reported(self._run)
        self._run = None

    def _begin(self, epoch: int) -> None:
        """Settle where the cycle begins and how long it is, which only now is certain, and install it."""
        optimizer = self.model.optimizer
        build_choosing(optimizer, self.model)
        now = raw_step(optimizer)
        start = self._resumption.begun_at(now)
        skips_updates = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        length = settle_length(
            self.params, epoch, total_steps=self.total_steps, steps_done=now - start, skips_updates=skips_updates
        )
        rate, momentum, pair = self.schedules(optimizer, length, start)
        self._report = CycleReport(
            schedule=told(rate),
            momentum=pair,
            start_step=start,
            total_steps=getattr(rate, "total_steps", length),
            steps=0,
            skipped_steps=None,
            max_learning_rate=self.max_learning_rate,
        )
        self._run = cycle_run.CycleRun(self.model, rate, momentum)
        self._shown.begin(rate)
        self._resumption.began(start)

    def schedules(self, optimizer: Any, total_steps: int | None, start: int = 0) -> tuple[Any, Any, Any]:
        """The schedules of rate and momentum from the optimizer's step `start` on, and the momentum pair; or None."""
        rate = begun_at(self._make(total_steps), start)
        pair = momentum_pair(self.momentum, rate, optimizer)
        return rate, None if pair is None else matching_momentum(rate, pair), pair

    def _make(self, length: Any) -> Any:
        if self.max_learning_rate is not None:
            return OneCycle(self.max_learning_rate, length)
        if self.schedule is None or isinstance(self.schedule, Schedule):
            return self.schedule
        schedule = self.schedule(length)
        if not isinstance(schedule, Schedule):
            raise TypeError(
                "The callable given as `schedule` must return a keras LearningRateSchedule. "
                f"Received: schedule({length}) -> {schedule!r}"
            )
        return schedule

    def _reported(self, run: cycle_run.CycleRun) -> CycleReport:
        now = raw_step(self.model.optimizer)
        batches = run.batches(self._epochs, self.params.get("steps"))
        skipped = cycle_run.count_skipped(self.model.optimizer, batches, now - run.first_step)
        return replace(self._report, steps=now - self._report.start_step, skipped_steps=skipped)


def scheduler_for(peak: Any, momentum: Any, schedule: Any) -> OneCycleScheduler:
    """The callback of a cycle with this peak.

    Args:
        peak: The number; a ready schedule has its own in itself.
        momentum: As in `OneCycleScheduler`.
        schedule: None for the article's cycle, a schedule, or a callable `(total_steps, peak) -> schedule`.
    """
    if schedule is None:
        return OneCycleScheduler(peak, momentum=momentum)
    if isinstance(schedule, Schedule) or not callable(schedule):
        return OneCycleScheduler(schedule=schedule, momentum=momentum)
    return OneCycleScheduler(schedule=lambda steps: schedule(steps, peak), momentum=momentum)


def _check_one_of(max_learning_rate: Any, schedule: Any) -> None:
    if (max_learning_rate is None) == (schedule is None):
        raise ValueError(
            "Give either `max_learning_rate` or `schedule`. "
            f"Received: max_learning_rate={max_learning_rate}, schedule={schedule}"
        )
    if schedule is not None and not callable(schedule):
        raise TypeError(
            "Argument `schedule` must be a keras LearningRateSchedule, or a callable that takes the number of total "
            f"steps and returns one. Received: schedule={schedule!r}"
        )


def _checked_pair(momentum: Any) -> Any:
    if momentum is None or momentum == "auto":
        return momentum
    if isinstance(momentum, str) or not isinstance(momentum, (tuple, list)) or len(momentum) != 2:
        raise ValueError(
            f'Argument `momentum` must be "auto", a pair (high, low) or None. Received: momentum={momentum!r}'
        )
    high, low = (number("momentum", value, least=0.0) for value in momentum)
    if not low <= high < 1:
        raise ValueError(
            f"Argument `momentum` is a pair (high, low) with 0 <= low <= high < 1. Received: momentum={tuple(momentum)}"
        )
    return high, low
