"""A range test inside a running `fit`: it raises the rate, records the losses, ends training and restores."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.finding.ramp import Ramp, update_losses
from onecycle.hyperparameters.installation import InstalledState, remove_with_fit
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.hyperparameters.unused_optimizer import unused_optimizer_error
from onecycle.keras_support import backends, step_state
from onecycle.keras_support.batch_facts import BatchFacts
from onecycle.keras_support.data_checks import no_batch_message
from onecycle.keras_support.fit_scope import FitScope
from onecycle.keras_support.host_copies import copies_on_disk
from onecycle.keras_support.interrupts import finish, undo_unless_finished
from onecycle.keras_support.loss_capture import LossRecorder
from onecycle.keras_support.optimizers import (
    accumulators,
    build_optimizer,
    raw_step,
    skip_ema_overwrite_once,
    skips_updates,
    step_counter,
    step_counters,
    velocities,
)
from onecycle.keras_support.snapshot import RandomSnapshot, StateSnapshot
from onecycle.keras_support.train_function import first_call
from onecycle.suggestions.divergence import DivergenceRule, StopReason

# Each read of the losses waits for the device, but a diverged run trains on until they are read. So they are read
# once both the steps and the seconds have passed, and at the latest after the largest number of steps.
STEPS_BETWEEN_READS, SECONDS_BETWEEN_READS, MAX_STEPS_BETWEEN_READS = 16, 0.1, 512


class RampInFit:
    """A range test in the running `fit`. It wraps the model's compiled training function.

    The wrapper counts the steps and reads the recorded losses every few steps. When the ramp is complete or the loss
    has diverged, it restores everything before any callback sees the model again.

    Args:
        model: The model whose `fit` runs.
        ramp: The learning rates.
        after_read: Called with the number of steps and the last loss whenever losses were read.
        validation_loss: Called after every update, if given; the losses of the test are then the ones it returns.
        on_disk: Whether the state to restore is kept on disk.

    Attributes:
        stop_reason: Why the test ended; None while it runs.
    """

    def __init__(
        self,
        model: keras.Model,
        ramp: Ramp,
        *,
        after_read: Callable[[int, float], None] = lambda steps, loss: None,
        validation_loss: Callable[[], float] | None = None,
        on_disk: bool = False,
    ) -> None:
        self._model = model
        self._ramp = ramp
        self._after_read = after_read
        self._validation_loss, self._on_disk = validation_loss, on_disk
        self._rule = DivergenceRule()
        self._calls = self._steps_called = self._read_at = self._judged = self._applied = self._recorded = 0
        self._losses: list[float] = []
        self._updates: list[int] = []
        self._running = self._ended = False
        self._queue = step_state.StepQueue()
        self._scope: FitScope | None = None
        self.stop_reason: StopReason | None = None

    @property
    def losses(self) -> NDArray[np.float64]:
        """The true loss of each update (n,), up to and including the one that ended the test.

        Without gradient accumulation these are the losses of all batches, also of those whose update was skipped.
        """
        end = None if self._rule.stopped_at is None else self._rule.stopped_at + 1
        return self._measured()[:end]

    @property
    def steps_made(self) -> int:
        """The number of training steps made, those after the end of the test included."""
        return self._recorded

    @property
    def facts(self) -> BatchFacts | None:
        """What is known about the batches of `losses`; None before the test has started."""
        if not hasattr(self, "_recorder"):
            return None
        return self._recorder.facts(len(self.losses) * self._ramp.steps_per_update)

    @property
    def calls(self) -> int:
        """The number of calls of the compiled training function so far."""
        return self._calls

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the rates (n,), increasing, and the loss at each (n,).

        Where loss scaling skipped updates, several batches share a rate, and the last of their losses is returned.
        """
        losses = self.losses
        if self._ramp.steps_per_update > 1:
            return self._ramp.update_rates(len(losses)), losses
        updates = np.array(self._updates[: len(losses)], dtype=int)
        last = np.append(np.diff(updates) > 0, True)[: len(losses)]
        return self._ramp.values()[updates[last]], losses[last]

    def start(self) -> None:
        """Install the ramp and the recorder. Call it after `fit` has made its training function."""
        model, optimizer = self._model, self._model.optimizer
        build_optimizer(optimizer, model)
        with copies_on_disk(self._on_disk):
            self._state, self._randomness = StateSnapshot(model), RandomSnapshot()
        self._train_function = model.train_function
        self._recorder = LossRecorder(model, MAX_STEPS_BETWEEN_READS + model.steps_per_execution, facts=True)
        self._first_step = raw_step(optimizer)
        self._skips_updates = skips_updates(optimizer)
        self._reads_each_step = self._skips_updates or self._validation_loss is not None
        self._read_time = time.monotonic()
        self._installed_before = InstalledState(optimizer)
        self._running = True
        undo_unless_finished(self._install, self.abandon)

    def _install(self) -> None:
        model = self._model
        self._start_update()
        self._first_step = raw_step(model.optimizer)
        self._recorder.attach()
        schedule_hyperparameters(model, learning_rate=self._ramp.shifted(self._first_step))
        self._wrap()
        self._scope = FitScope(model, self._remove, self._wrap)
        remove_with_fit(model.optimizer, self._scope)

    def _start_update(self) -> None:
        """Bring the optimizer to the start of an update, with velocities of zero."""
        optimizer, length = self._model.optimizer, self._ramp.steps_per_update
        # The velocities of a higher rate would dominate the first steps.
        for variable in (*velocities(optimizer), *accumulators(optimizer)):
            variable.assign(np.zeros(variable.shape))
        for counter in step_counters(optimizer) if length > 1 else ():
            counter.assign(int(backends.to_numpy(counter)) // length * length)

    def finish(self) -> None:
        """End a test whose `fit` has ended, perhaps before the ramp because it ran out of data or epochs.

        Raises:
            ValueError: If there was no batch at all.
        """
        self._ended = True
        try:
            if self._running:
                self._add_losses(self._recorder.read(), None)
                self._judge()
                self.stop_reason = self.stop_reason or StopReason.DATA_ENDED
        finally:
            self.stop()
        if not self._calls:
            raise ValueError(no_batch_message("x"))

    def stop(self) -> None:
        """Remove everything and restore; a second call restores the variables once more."""
        finish(self._stop)

    def abandon(self) -> None:
        """Remove everything and restore while an exception is ending `fit`."""
        # Also where `fit` ends, after which `stop` is called a second time.
        if self._running or self._ended:
            finish(self._abandon)

    def _abandon_step(self) -> None:
        # On JAX, the state that the failed step took is lost.
        step_state.discard_state(self._model)
        self.abandon()

    def _stop(self, *, metrics: bool = False) -> None:
        self._state.restore(metrics=metrics)
        if self._scope is None:
            self._remove()
        else:
            self._scope.close()
        self._randomness.restore()
        self._running = False

    def _abandon(self) -> None:
        was_running = self._running
        step_state.write_back_state(self._model)
        self._stop(metrics=True)
        if was_running and backends.is_functional():
            skip_ema_overwrite_once(self._model.optimizer)

    def _remove(self) -> None:
        self._recorder.detach()
        self._installed_before.restore_where_installed()
        # A training function made in the meantime may contain the ramp, so the next `fit` makes a new one.
        if self._model.train_function is not self._train_function:
            is_ours = self._model.train_function == self._step
            self._model.train_function = self._train_function if is_ours else None

    def _wrap(self) -> None:
        self._compiled = self._model.train_function
        self._model.train_function = self._step

    def _step(self, *args: object) -> object:
        try:
            return self._guarded_step(*args)
        except backends.end_of_data_errors():
            raise
        except BaseException:
            self._abandon_step()  # again, in case an interrupt has ended the first call
            raise

    def _guarded_step(self, *args: object) -> object:
        self._recorder.recording = True
        try:
            result = self._compiled(*args) if self._calls else first_call(self._model, self._compiled, *args)
            self._recorder.recording = False
            self._queue.add(result)
            self._calls += 1
            self._steps_called += self._model.steps_per_execution
            return self._read(result) if self._due() else result
        except backends.end_of_data_errors():
            raise
        except BaseException:  # also Ctrl-C
            self._abandon_step()
            raise
        finally:
            self._recorder.recording = False

    def _due(self) -> bool:
        steps = self._steps_called - self._read_at
        if self._reads_each_step or self._steps_called >= self._ramp.total_steps or steps >= MAX_STEPS_BETWEEN_READS:
            return True
        return steps >= STEPS_BETWEEN_READS and time.monotonic() - self._read_time >= SECONDS_BETWEEN_READS

    def _read(self, result: object) -> object:
        self._queue.wait()
        self._read_at, self._read_time = self._steps_called, time.monotonic()
        self._add_losses(self._recorder.read(result), result)
        if self._validation_loss is not None and self._applied % self._ramp.steps_per_update == 0:
            # `evaluate` reads the variables, and on PyTorch it switches the modules to inference.
            step_state.write_back_state(self._model, result)
            torch_state = step_state.torch_state(self._model)
            self._losses[-1] = self._validation_loss()
            step_state.set_torch_state(torch_state)
            result = step_state.result_with_state(self._model, result)
        self._judge()
        self._after_read(len(self._losses), self._losses[-1])
        if self.stop_reason is None:
            return result
        self._model.stop_training = True
        # On JAX, the restored values must also replace the state that `fit` goes on with.
        step_state.write_back_state(self._model, result)
        self.stop()
        return step_state.result_with_state(self._model, result)

    def _judge(self) -> None:
        """Decide whether the losses added since the last call end the test."""
        new = self._measured(self._judged)
        self.stop_reason = self._rule.update(new)
        self._judged += len(new)
        if self.stop_reason is None and len(self._losses) >= self._ramp.total_steps:
            self.stop_reason = StopReason.COMPLETED

    def _measured(self, first: int = 0) -> NDArray[np.float64]:
        """Return the loss of each batch, or with gradient accumulation of each complete update, from the first on."""
        length = self._ramp.steps_per_update
        if length == 1:
            return np.array(self._losses[first:], dtype=np.float64)
        # The gradient of a skipped batch is in no update.
        losses = np.array(self._losses, dtype=np.float64)[np.diff([*self._updates, self._applied]) > 0]
        if self._validation_loss is not None:
            return losses[length - 1 :: length][first:]  # only the last step of an update changes the weights
        return update_losses(losses, length)[first:]

    def _add_losses(self, recorded: list[float], result: object) -> None:
        """Add newly recorded losses, each with the number of updates before it, which is the step of the ramp."""
        if not recorded and self._steps_called:
            raise self._missing_losses(result)
        updates = self._recorded = len(recorded)
        if self._skips_updates or not self._losses:  # one check is enough: all steps run the same code
            counter = step_counter(self._model.optimizer)
            updates = int(step_state.variable_after_step(self._model, counter, result)) - self._first_step
        if not updates and recorded and not self._skips_updates:
            raise unused_optimizer_error(self._model)
        if len(recorded) != updates and not self._skips_updates:
            kind = type(self._model).__name__
            raise ValueError(_OTHER_LOSSES.format(kind=kind, losses=len(recorded), updates=updates))
        # Several steps of one execution may run past the end of the ramp.
        new = recorded[len(self._losses) : self._ramp.total_steps]
        applied = updates if self._skips_updates else self._applied + len(new)
        self._updates += [min(self._applied + k, applied) for k in range(len(new))]
        self._applied = applied
        self._losses += new

    def _missing_losses(self, result: object) -> ValueError:
        """Return the error that no loss was recorded. Without a step of the optimizer, that is the first cause."""
        counter = step_counter(self._model.optimizer)
        if int(step_state.variable_after_step(self._model, counter, result)) == self._first_step:
            return unused_optimizer_error(self._model)
        return ValueError(_NO_LOSS.format(kind=type(self._model).__name__))


_NO_LOSS = (
    "The range test saw no loss: the `train_step` of {kind} computes its loss without calling `compute_loss`. "
    "Have it call `self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)` for the loss it minimizes "
    "(on JAX through `self.compute_loss_and_updates`, and pass on the non-trainable variables that it returns)."
)


_OTHER_LOSSES = (
    "The range test saw {losses} losses in {updates} updates: in each step the `train_step` of {kind} must call "
    "`compute_loss` once, for the loss it minimizes, and its optimizer once."
)
