"""`DivergenceGuard`: a training that diverges goes back to a good state and goes on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

import keras
import numpy as np

from onecycle.keras_support.callback_list import (
    call_after,
    call_before,
    on_callback_error,
    other_callbacks,
    state_of_copy,
)
from onecycle.keras_support.model_checks import check_training_model
from onecycle.keras_support.optimizers import set_lost_steps
from onecycle.results.cycle_report import CycleReport
from onecycle.results.rescue import Rescue
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_integer, described
from onecycle.training.backups.run_backup import RunBackup
from onecycle.training.guard_run import GuardRun

_TWO_GUARDS = "Two DivergenceGuards would undo each other's rescues. Keep one of them."


class DivergenceGuard(keras.callbacks.Callback):
    """Go back to a good state when training diverges, and go on with a lower learning rate.

    The guard watches the loss of each batch on the device and reads it every few steps. It notices within 5 steps (or
    at the end of the call where `steps_per_execution` is larger) that the loss is NaN, infinite or exploding. After an
    extreme loss or a divergence, the loss also has to come back. Where the loss of guessing is known, the guard also
    notices a loss that returns to guessing, or was high at first, and stays there. Every now and then, and before an
    epoch ends, it looks for weights, statistics of BatchNormalization and optimizer variables that are not finite.

    It keeps up to two good states in memory: weights, optimizer variables, BatchNormalization, seeds, metrics and the
    step counter. When training diverges, it restores one of them exactly, sets the peak of what remains to a third of
    the learning rate at which that happened, scales the velocities of SGD and RMSprop to the lower rate, and goes on
    with the next batch. No batch is repeated. A schedule continues where the training is and so ends with it, although
    the step counter went back by the steps that were undone. If a batch had NaN, infinite or absurdly large values, its
    updates are undone and the learning rate stays as it was.

    A training that does not diverge is exactly the same as without the guard. What the guard did is in `rescues`, in
    `history.rescues`, in the `CycleReport` of a cycle, and in warnings.

    Args:
        max_rescues: Number of rescues after which the guard gives up: it restores the best state that it has and raises
            an error. Batches with bad values do not count.
        copies: Number of good states in memory, 1 or 2. Each takes as much memory as weights and optimizer variables
            together. By default 2, or 1 if the device has memory for fewer than three. With 1, the guard may go back
            to a state in which the divergence had begun unnoticed.

    Attributes:
        rescues: A tuple of `Rescue(step, reason, learning_rate_factor, lost_steps)` of the last `fit`.

    Raises:
        TypeError, ValueError: For invalid arguments. Also before training, for a model without an optimizer.
        DivergenceError: If training diverges more often than `max_rescues`. The model has a good state then.

    Example:

    ```python
    guard = onecycle.DivergenceGuard()
    model.fit(x, y, epochs=10, callbacks=[onecycle.OneCycleScheduler(0.5), guard])
    print(guard.rescues)
    ```
    """

    @suggest_names()
    def __init__(self, *, max_rescues: int = 5, copies: int | None = None) -> None:
        super().__init__()
        self.max_rescues = check_integer("max_rescues", max_rescues, minimum=0)
        self.copies = None if copies is None else check_integer("copies", copies)
        if self.copies is not None and self.copies > 2:
            raise ValueError(f"Argument `copies` must be 1, 2 or None. Received: copies={copies}")
        self.rescues: tuple[Rescue, ...] = ()
        self._run: GuardRun | None = None
        self._resumed: tuple[tuple[Rescue, ...], int, int] | None = None

    def backup_state(self) -> dict[str, Any]:
        """Return what the guard did and what follows from it, for a backup (see `Resumable`)."""
        rescues = [list(astuple(one)) for one in self.rescues]
        run = self._run
        return {"rescues": rescues, "lost": 0 if run is None else run.lost, "steps": 0 if run is None else run.steps}

    def restore_backup_state(self, state: Mapping[str, Any]) -> None:
        """Go on in the next `fit` where that of a backup ended."""
        self._resumed = (tuple(Rescue(*one) for one in state["rescues"]), state["lost"], state.get("steps", 0))

    def __getstate__(self) -> dict[str, object]:
        return state_of_copy(self, "_run", "_resumed")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        check_training_model(self.model)
        if any(isinstance(other, DivergenceGuard) for other in other_callbacks(self)):
            raise ValueError(_TWO_GUARDS)
        (self.rescues, self._lost, self._steps), self._resumed, self._run = self._resumed or ((), 0, 0), None, None
        # After all other callbacks, so that the guard sees what they install, and before them where an epoch ends, so
        # that none of them saves a bad state.
        self._is_last = call_after(self, "on_epoch_begin", self._begin_epoch)
        call_before(self, "on_epoch_begin", self._before_first_epoch)
        call_after(self, "on_train_end", self._end)
        call_before(self, "on_test_begin", self._before_validation)
        call_before(self, "on_epoch_end", self._end_epoch)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if not self._is_last:
            self._begin_epoch(epoch)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if not self._is_last:
            self._end()

    def _before_first_epoch(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Let all callbacks that begin count from the steps that the run has made, those that it lost included."""
        if self._run is None and self._lost:
            optimizer = self.model.optimizer
            on_callback_error(self, lambda: set_lost_steps(optimizer, 0), hooks=["on_epoch_begin"])
            set_lost_steps(optimizer, self._lost)

    def _begin_epoch(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._run is None:
            others = [one for one in other_callbacks(self) if not _is_harmless(one)]
            run = GuardRun(
                self.model, self.params, epoch, max_rescues=self.max_rescues, copies=self.copies,
                reads_each_step=any(isinstance(one, keras.callbacks.TerminateOnNaN) for one in others),
                checks_each_epoch=bool(others), rescued=self._add,
            )  # fmt: skip
            self._run = run
            on_callback_error(self, run.end, hooks=["on_train_end"])
            run.start(self.rescues, self._lost, self._steps)
        self._run.begin_epoch()

    def _before_validation(self, logs: dict[str, float] | None = None) -> None:
        if self._run is not None:
            self._run.look_at_end()

    def _end_epoch(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._run is not None:
            corrected = self._run.end_epoch()
            if logs is not None:
                logs.update({name: value for name, value in corrected.items() if name in logs})

    def _end(self, logs: dict[str, float] | None = None) -> None:
        if self._run is None:
            return
        run, self._run = self._run, None
        run.end()
        if run.closing_words is not None:
            warnings.warn(f"DivergenceGuard: {run.closing_words}", stacklevel=2)
        history = getattr(self.model, "history", None)
        if history is None:
            return
        history.rescues = self.rescues
        report = getattr(history, "onecycle", None)
        if isinstance(report, CycleReport) and self.rescues:
            history.onecycle = _with_rescues(report, self.rescues)

    def _add(self, rescue: Rescue) -> None:
        self.rescues = (*self.rescues, rescue)


def added_guards(guard: bool, callbacks: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """Return the guard that a training needs beside its callbacks, in a list; none where there is one already.

    Args:
        guard: Whether the training is to have one.
        callbacks: The callbacks of the user.
    """
    return [DivergenceGuard()] if guard and not any(isinstance(one, DivergenceGuard) for one in callbacks) else []


def check_guards(guard: object, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Check, before any training, the argument `guard` and the guards among the callbacks of the user.

    Raises:
        TypeError: If `guard` is neither True nor False.
        ValueError: If there are two guards.
    """
    if not isinstance(guard, bool):
        raise TypeError(f"Argument `guard` must be True or False. Received: guard={described(guard)}")
    if sum(isinstance(one, DivergenceGuard) for one in callbacks) > 1:
        raise ValueError(_TWO_GUARDS)


def _with_rescues(report: CycleReport, rescues: tuple[Rescue, ...]) -> CycleReport:
    """Return a report with the learning rates that the steps really had."""
    steps, factors = [one.step for one in rescues], [1.0, *(one.learning_rate_factor for one in rescues)]
    factor = np.array(factors)[np.searchsorted(steps, report.steps_shown, side="left")]
    return replace(report, learning_rates=report.learning_rates * factor, rescues=rescues)


def _is_harmless(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback neither saves the model nor looks at it."""
    kinds = (keras.callbacks.History, keras.callbacks.ProgbarLogger, DivergenceGuard)
    ours = type(callback).__module__.startswith("onecycle.") and not isinstance(callback, RunBackup)
    return isinstance(callback, kinds) or ours
