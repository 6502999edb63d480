"""`OneCycleScheduler`: one cycle in a user's own call of `fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule as Schedule

from onecycle.hyperparameters.assignments import AssignmentCheck
from onecycle.hyperparameters.layer_rates import LayerRates, LayerRatesArgument
from onecycle.keras_support.callback_list import (
    call_before,
    call_last,
    fit_callbacks,
    hooks_of_fit,
    on_callback_error,
    other_callbacks,
    state_of_copy,
)
from onecycle.keras_support.model_checks import check_training_model
from onecycle.keras_support.optimizers import (
    build_multi_optimizer,
    elapsed_steps,
    lost_steps,
    raw_step,
    skips_updates,
)
from onecycle.keras_support.running_fit import initial_epoch
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_integer
from onecycle.training.cycle_reporter import CycleReporter
from onecycle.training.cycle_run import CycleRun
from onecycle.training.cycle_span import find_span
from onecycle.training.cycle_spec import CycleSchedules, CycleSpec
from onecycle.training.early_end import warn_of_early_end
from onecycle.training.early_finish import CyclePosition, EarlyFinish, schedules_in_made_steps
from onecycle.training.progress_bar import ProgressBarRate
from onecycle.training.resumption import Resumption, cycle_length
from onecycle.training.scheduler_arguments import check_scheduler_arguments, schedule_maker
from onecycle.training.tracked_config import TrackedConfig

# The attributes that belong to one `fit`.
_OF_ONE_FIT = (
    *("_run", "_resumption", "_assignments", "_shown", "_report", "_config", "_span", "_schedules"),
    *("_resumed", "_finish", "_hooks"),
)


class OneCycleScheduler(keras.callbacks.Callback):
    """Train with one cycle of the learning rate and the momentum.

    The cycle is installed in the optimizer when the first epoch begins and removed when training ends. Afterwards the
    optimizer has its original hyperparameters again, and the next `fit` with this callback runs a new, complete cycle.
    The values are computed inside the compiled step (see `schedule_hyperparameters`). Nothing runs per batch, except to
    show the learning rate in Keras' progress bar if there is one.

    When `keras.callbacks.BackupAndRestore` resumes an interrupted run, the original cycle continues. After an exception
    the cycle is removed when the learning rate is read, by the next `fit`, or by `unschedule_hyperparameters`.
    `History` has a `CycleReport` as `history.onecycle`, and the learning rate and the momentum of each epoch's last
    step, which are in the logs for every callback.

    With `initial_epoch`, a cycle longer than the remaining epochs is that of the whole training, and is continued where
    the step counter of the loaded optimizer says. Any other cycle is a new one.

    Args:
        max_learning_rate: The peak of the cycle, above 0. Pass either this or `schedule`.
        total_steps: Length of the cycle in steps (training batches). By default the epochs of this `fit` times the
            steps per epoch. Required for data of unknown length.
        momentum: `"auto"` for (0.95, 0.85) if the optimizer has a momentum, nothing otherwise; a pair (high, low); or
            None to leave the momentum unchanged.
        schedule: Replaces `max_learning_rate`: a schedule, or a callable that takes the total number of steps and
            returns one. A schedule keeps its own length: a shorter one holds its last value to the end of the training,
            a longer one is cut off, with a warning. One with a `start_step` begins at that step of the optimizer, any
            other with the `fit`.
        layer_rates: Factors on the learning rate of layers, or `"decay"`, as in `schedule_hyperparameters`.
        decay: The ratio for `layer_rates="decay"`.

    Raises:
        TypeError, ValueError: For invalid arguments. Also before training: for an explicit pair with an optimizer that
            has no momentum, for data of unknown length without `total_steps`, and for another callback that sets
            the learning rate. In the first epoch: if the optimizer does not make one step per batch, unless
            `total_steps` is given, or makes none, and if a callback of the user set the learning rate.

    Warns:
        UserWarning: If training ended before the cycle did, and if a new cycle begins with `initial_epoch`.

    Example:

    ```python
    model.fit(x, y, epochs=10, callbacks=[onecycle.OneCycleScheduler(0.1)])
    ```

    References:
        L. N. Smith, A disciplined approach to neural network hyper-parameters (2018), arXiv:1803.09820, section 4.
    """

    sets_learning_rate = True  # see `refuse_conflicting_callbacks`

    @suggest_names()
    def __init__(
        self,
        max_learning_rate: float | None = None,
        *,
        total_steps: int | None = None,
        momentum: str | tuple[float, float] | None = "auto",
        schedule: Schedule | Callable[[int], Schedule] | None = None,
        layer_rates: LayerRatesArgument | LayerRates = None,
        decay: float | None = None,
    ) -> None:
        super().__init__()
        check_scheduler_arguments(max_learning_rate, total_steps, schedule)
        if max_learning_rate is not None:
            max_learning_rate = float(max_learning_rate)
        self._spec = CycleSpec(max_learning_rate, momentum, schedule_maker(schedule), layer_rates, decay)
        self.max_learning_rate = max_learning_rate
        self.total_steps = total_steps
        self.momentum = self._spec.momentum
        self.schedule = schedule
        self.layer_rates, self.decay = layer_rates, decay
        self._peak = max_learning_rate
        self._evidence: RangeTest | Race | None = None
        self._run: CycleRun | None = None
        self._resumed: tuple[int, int | None] | None = None
        self._skipped_before: int | None = 0
        self._finish: EarlyFinish | None = None
        self._hooks: keras.callbacks.CallbackList | None = None

    @classmethod
    def from_spec(
        cls, spec: CycleSpec, evidence: RangeTest | Race | None = None, total_steps: int | None = None
    ) -> OneCycleScheduler:
        """Return the callback of a cycle whose peak is known.

        Args:
            spec: The specification of the cycle.
            evidence: The result that picked the peak, for the report.
            total_steps: Length of the cycle, as in `OneCycleScheduler`.
        """
        schedule, peak = spec.schedule, spec.peak
        shared: dict[str, Any] = {
            "total_steps": total_steps, "momentum": spec.momentum, "layer_rates": spec.layer_rates, "decay": spec.decay
        }  # fmt: skip
        if schedule is None:
            callback = cls(peak, **shared)
        elif isinstance(schedule, Schedule) or peak is None:
            callback = cls(schedule=schedule, **shared)
        else:
            callback = cls(schedule=lambda steps: schedule(steps, peak), **shared)
        # A ready schedule may have no peak at all.
        callback._peak, callback._evidence = None if spec.has_ready_schedule else peak, evidence
        return callback

    def finish_early(self, steps: int | None = None) -> None:
        """End the running cycle early, with a final drop of the learning rate, and then the training.

        Call it while `fit` runs: from a callback, or from another thread. The learning rate falls on a line from its
        present value to the last one of the cycle, and the momentum returns to its high value. The compiled step is
        made once more for that. Where one call of the step makes several (`steps_per_execution`), the drop ends with a
        call. A drop that would be longer than the rest of the training takes all of the rest. A second call does
        nothing.

        Args:
            steps: Length of the drop in steps, at least 1. By default a tenth of the steps made so far.

        Raises:
            RuntimeError: If no cycle is running.
            ValueError: If `steps` is not a positive integer.
        """
        if steps is not None:
            check_integer("steps", steps)
        if self._run is None or self._hooks is None:
            raise RuntimeError("No cycle is running. Call `finish_early` while `fit` runs, such as from a callback.")
        if self._finish is None:
            self._finish = EarlyFinish(steps, self._hooks, self._position, self._replace_schedules)

    @property
    def evidence(self) -> RangeTest | Race | None:
        """The result that picked the peak, or None if the peak was given."""
        return self._evidence

    def backup_state(self) -> dict[str, int | None]:
        """Return where the cycle began, its length and the skipped steps, for a backup (see `Resumable`)."""
        # Without an epoch to train, a run that continues has no span of its own.
        (start, length), run = self._resumed or self._span, self._run
        skipped = self._skipped_before if run is None else self._skipped_steps(run)
        return {"start_step": start, "total_steps": length, "skipped_steps": skipped}

    def restore_backup_state(self, state: Mapping[str, Any]) -> None:
        """Continue the cycle of a backup in the next `fit`."""
        self._resumed = (state["start_step"], state["total_steps"])
        self._skipped_before = state["skipped_steps"]

    def __getstate__(self) -> dict[str, object]:
        return state_of_copy(self, *_OF_ONE_FIT)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        # Before any `on_train_begin`, in which `BackupAndRestore` restores the model.
        self._resumption = Resumption(self, model)
        self._assignments = AssignmentCheck(getattr(model, "optimizer", None))
        # Before any `on_train_begin`, in which trackers read it.
        self._config = TrackedConfig(model, self._parameters)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        try:
            self._check()
        except BaseException:
            self._config.close()
            raise
        self._run = self._finish = None
        self._hooks = hooks_of_fit(self)
        self._epochs = 0
        self._shown = ProgressBarRate(fit_callbacks(self))
        # Before all callbacks, so that each of them finds the values in the logs.
        call_before(self, "on_epoch_end", self._add_to_logs)
        # After Keras has restored its backup, and before it writes one.
        resumption = self._resumption
        call_last(self, keras.callbacks.LambdaCallback(on_train_begin=lambda logs: resumption.restore_supplement()))
        call_before(self, "on_epoch_end", lambda epoch, logs=None: resumption.supplement.write(epoch))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._config.close()
        self._epoch = epoch
        if self._run is None:
            self._begin(epoch)
        else:
            self._check_assignments()
        self._shown.first_step = elapsed_steps(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epochs += 1
        if self._run is not None:
            self._run.end_epoch()
            self._check_assignments()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._shown.end()
        self._config.close()
        # Training may end before its first epoch begins.
        if self._run is None:
            if self._resumed is not None:
                self._report_resumed(*self._resumed)
            return
        # The callbacks after this one still read the rate of the last step.
        if not call_last(self, keras.callbacks.LambdaCallback(on_train_end=lambda logs, run=self._run: run.end())):
            self._run.end()
        self._resumption.forget()
        report = self._reporter.finished(self._report, self._skipped_steps(self._run))
        history = getattr(self.model, "history", None)
        if history is not None:
            history.onecycle = report
        self._run = None
        warn_of_early_end(report, logs, stopped=self.model.stop_training)

    def _report_resumed(self, start: int, length: int | None) -> None:
        """Keep the report of a run that was interrupted after its last epoch, of which only the end was missing."""
        schedules = self._spec.schedules(self.model.optimizer, length, start)
        self._report = self._reporter.begun(schedules, start, length)
        self.model.history.onecycle = self._reporter.finished(self._report, self._skipped_before)

    def _check(self) -> None:
        """Raise an error for a training that cannot have this cycle."""
        check_training_model(self.model)
        self._spec.check(self.model, other_callbacks(self))
        if self.total_steps is None and self.params.get("steps") is None and not isinstance(self.schedule, Schedule):
            raise ValueError(
                "The length of this data is unknown, and so is the length of the cycle. "
                "Pass `total_steps` to OneCycleScheduler, or `steps_per_epoch` to `fit`."
            )

    def _begin(self, epoch: int) -> None:
        """Install the cycle. Only now is it certain where it starts and how long it is."""
        optimizer = self.model.optimizer
        build_multi_optimizer(optimizer, self.model)
        # After a resumed run has been restored, the counter is ahead of the start of the cycle.
        now = raw_step(optimizer)
        # Loading a checkpoint may change the learning rate too, but then also the counter.
        if not self._resumption.counter_changed(now):
            self._check_assignments()
        start, length = self._span = self._resumed or find_span(
            self._resumption, self.params, epoch, step=now, total_steps=self.total_steps, schedule=self.schedule,
            skips_updates=skips_updates(optimizer),
        )  # fmt: skip
        schedules = self._spec.schedules(optimizer, length, start)
        self._schedules = schedules
        self._report = self._reporter.begun(schedules, start, length)
        # A ready schedule has the length that the user gave it.
        given = self.total_steps is not None or isinstance(self.schedule, Schedule)
        rates = self._spec.layer_rates_of(self.model)
        self._run = CycleRun(self.model, schedules, rates, length_given=given)
        # An interrupt may come while the cycle is being removed.
        on_callback_error(self, self._run.end, hooks=["on_train_end"])
        self._assignments = AssignmentCheck(optimizer)
        self._shown.begin(partial(self._run.rate_at, schedules))
        self._resumption.remember(start)

    def _position(self) -> CyclePosition:
        epochs_left = self.params["epochs"] - self._epoch
        schedules = self._schedules if self._run is None else self._run.current(self._schedules)
        return CyclePosition(self.model, schedules, *self._span, self.params.get("steps"), epochs_left)

    def _replace_schedules(self, schedules: CycleSchedules, steps: int) -> None:
        """Train with other schedules from now on, for this number of steps."""
        start, _ = self._span
        optimizer = self.model.optimizer
        made = schedules_in_made_steps(schedules, self._schedules, lost_steps(optimizer))
        self._report = self._reporter.begun(made, start, elapsed_steps(optimizer) - start + steps)
        if self._run is not None:
            self._run.replace(schedules)
        self._assignments = AssignmentCheck(optimizer)

    def _check_assignments(self) -> None:
        try:
            self._assignments.check("OneCycleScheduler", other_callbacks(self))
        except ValueError:
            if self._run is not None:
                self._run.end()
            raise

    def _add_to_logs(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None and self._run is not None:
            logs.update(self._run.last_values())

    def _parameters(self) -> dict[str, object]:
        """Return the cycle that is about to begin, as trackers log it."""
        epoch = initial_epoch(self.model)
        new = 0, cycle_length(self.params, epoch, total_steps=self.total_steps, steps_done=0, skips_updates=False)
        start, length = self._resumed or new
        return self._reporter.parameters(start, length)

    @property
    def _reporter(self) -> CycleReporter:
        return CycleReporter(self.model, self._spec, self._peak, self._evidence)

    def _skipped_steps(self, run: CycleRun) -> int | None:
        """Return the number of skipped steps, with those before a backup; None if it is unknown."""
        now, before = run.skipped_steps(self._epochs, self.params.get("steps")), self._skipped_before
        return None if now is None or before is None else now + before
