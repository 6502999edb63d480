"""One learning rate range test inside one call of `fit`: ramp, record, stop, restore."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.finding.ramp import Ramp
from onecycle.hyperparameters.installation import installed_state, reinstate, uninstall
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support import backends
from onecycle.keras_support.fit_scope import Borrowed
from onecycle.keras_support.loss_capture import LossRecorder
from onecycle.keras_support.optimizers import inner_optimizers, raw_step, skip_averages_once, step_counter, velocities
from onecycle.keras_support.snapshot import RandomSnapshot, VariableSnapshot
from onecycle.suggestions.divergence import DivergenceRule, StopReason

# A diverged run trains on until its losses are read: that is the later of so many steps and so many seconds, since
# each read costs, but never more than the third.
STEPS_BETWEEN_READS, SECONDS_BETWEEN_READS, MOST_STEPS_BETWEEN_READS = 16, 0.1, 512


class RampRun:
    """A range test in the `fit` that is running. It wraps the model's compiled training function.

    The wrapper counts steps, reads the recorded losses every few of them and, when the ramp is over or the loss has
    diverged, puts everything back before any callback sees the model again.

    Args:
        model: The model whose `fit` runs.
        ramp: The learning rates.
        after_read: Called with the number of steps and the last loss whenever losses were read.
        validation_loss: Where given, called after every step; its losses are then those of the test.

    Attributes:
        stop_reason: Why the test ended; None while it runs.
    """

    def __init__(
        self,
        model: Any,
        ramp: Ramp,
        *,
        after_read: Callable[[int, float], None] = lambda steps, loss: None,
        validation_loss: Callable[[], float] | None = None,
    ) -> None:
        self._model = model
        self._ramp = ramp
        self._after_read = after_read
        self._validation_loss = validation_loss
        self._rule = DivergenceRule()
        self._calls = self._steps_called = self._read_at = self._judged = self._applied = 0
        self._losses: list[float] = []
        self._updates: list[int] = []
        self._running = False
        self.stop_reason: StopReason | None = None

    @property
    def losses(self) -> NDArray[np.float64]:
        """(n,) the true loss of each batch, up to and with the one that ended the test."""
        end = None if self._rule.stopped_at is None else self._rule.stopped_at + 1
        return np.array(self._losses[:end], dtype=np.float64)

    @property
    def calls(self) -> int:
        """Calls of the compiled training function so far."""
        return self._calls

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rates (n,), rising, and losses (n,); of batches whose update loss scaling skipped the last one stands."""
        losses = self.losses
        updates = np.array(self._updates[: len(losses)], dtype=int)
        last = np.append(np.diff(updates) > 0, True)[: len(losses)]
        return self._ramp.values()[updates[last]], losses[last]

    def start(self) -> None:
        """Put the ramp and the recorder in; `fit` must have made its training function."""
        model, optimizer = self._model, self._model.optimizer
        if not optimizer.built:
            with backends.placement(model):
                optimizer.build(model.trainable_variables)
        self._variables, self._randomness = VariableSnapshot(model), RandomSnapshot()
        for velocity in velocities(optimizer):
            velocity.assign(np.zeros(velocity.shape))  # that of another rate would drown the ramp's first steps
        self._train_function = model.train_function
        self._recorder = LossRecorder(model, MOST_STEPS_BETWEEN_READS + model.steps_per_execution)
        self._first_step = raw_step(optimizer)
        self._skips_updates = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self._reads_each_step = self._skips_updates or self._validation_loss is not None
        self._read_time = time.monotonic()
        self._installed_before = [(inner, installed_state(inner)) for inner in inner_optimizers(optimizer)]
        self._recorder.attach()
        self._running = True
        schedule_hyperparameters(model, learning_rate=self._ramp.shifted(self._first_step))
        self._borrowed = Borrowed(model, self._take_out, self._wrap)
        self._wrap()

    def finish(self) -> None:
        """End a test that `fit` ended first, for want of data or epochs."""
        try:
            if self._running:
                self._take(self._recorder.read(), None)
                self._judge()
                self.stop_reason = self.stop_reason or StopReason.DATA_ENDED
        finally:
            self.stop()

    def stop(self) -> None:
        """Take everything out and restore; called again it puts the variables back once more."""
        self._variables.restore(metrics=False)
        self._borrowed.give_back()
        self._randomness.restore()

    def abandon(self) -> None:
        """Take everything out and restore while an exception is ending `fit`."""
        if not self._running:
            return
        backends.attach_state(self._model)
        self._variables.restore()
        self.stop()
        if backends.carries_state():
            skip_averages_once(self._model.optimizer)

    def _take_out(self) -> None:
        self._running = False
        self._recorder.detach()
        for inner, before in self._installed_before:
            if uninstall(inner):  # else somebody has unscheduled everything, which stands
                reinstate(inner, before)
        # A training function that is not ours may hold the ramp: the next `fit` makes a new one.
        is_ours = self._model.train_function == self._step
        self._model.train_function = self._train_function if is_ours else None

    def _wrap(self) -> None:
        self._compiled = self._model.train_function
        self._model.train_function = self._step

    def _step(self, *args: Any) -> Any:
        self._recorder.recording = True
        try:
            result = self._compiled(*args)
            self._recorder.recording = False
            self._calls += 1
            self._steps_called += self._model.steps_per_execution
            return self._read(result) if self._due() else result
        except backends.end_of_data():
            self._uncount_step_without_batch()
            raise
        except BaseException:
            backends.forget_state(self._model)
            self.abandon()
            raise
        finally:
            self._recorder.recording = False

    def _uncount_step_without_batch(self) -> None:
        """Put the optimizer's counter right: on TensorFlow Keras counts a step where no batch was left for one."""
        if not (backends.carries_state() or self._skips_updates):
            step = self._first_step + self._recorder.steps()
            step_counter(self._model.optimizer).assign(step)

    def _due(self) -> bool:
        steps = self._steps_called - self._read_at
        if self._reads_each_step or self._steps_called >= self._ramp.total_steps or steps >= MOST_STEPS_BETWEEN_READS:
            return True
        return steps >= STEPS_BETWEEN_READS and time.monotonic() - self._read_time >= SECONDS_BETWEEN_READS

    def _read(self, result: Any) -> Any:
        self._read_at, self._read_time = self._steps_called, time.monotonic()
        self._take(self._recorder.read(result), result)
        if self._validation_loss is not None:
            backends.attach_state(self._model, result)
            torch_state = backends.torch_state(self._model)
            self._losses[-1] = self._validation_loss()
            backends.set_torch_state(torch_state)
            result = backends.result_with_state_of(self._model, result)
        self._judge()
        self._after_read(len(self._losses), self._losses[-1])
        if self.stop_reason is None:
            return result
        self._model.stop_training = True
        backends.attach_state(self._model, result)
        self.stop()
        return backends.result_with_state_of(self._model, result)

    def _judge(self) -> None:
        """Whether the losses taken since the last time end the test."""
        self.stop_reason = self._rule.update(self._losses[self._judged :])
        self._judged = len(self._losses)
        if self.stop_reason is None and len(self._losses) >= self._ramp.total_steps:
            self.stop_reason = StopReason.COMPLETED

    def _take(self, recorded: list[float], result: Any) -> None:
        """Add newly recorded losses, each with the number of updates made before it, which is what the ramp counts."""
        if not recorded and self._steps_called:
            raise ValueError(_NO_LOSS.format(kind=type(self._model).__name__))
        updates = len(recorded)
        if self._skips_updates or not self._losses:  # what a step does at first it does ever after
            counter = step_counter(self._model.optimizer)
            updates = int(backends.variable_after_step(self._model, counter, result)) - self._first_step
        if len(recorded) != updates and not self._skips_updates:
            kind = type(self._model).__name__
            raise ValueError(_OTHER_LOSSES.format(kind=kind, losses=len(recorded), updates=updates))
        # Several steps of one execution may run past the end of the ramp.
        new = recorded[len(self._losses) : self._ramp.total_steps]
        applied = updates if self._skips_updates else self._applied + len(new)
        self._updates += [min(self._applied + k, applied) for k in range(len(new))]
        self._applied = applied
        self._losses += new


_NO_LOSS = (
    "The range test saw no loss: the `train_step` of {kind} computes its loss without calling `compute_loss`. "
    "Have it call `self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)` for the loss it minimises "
    "(on JAX through `self.compute_loss_and_updates`, and pass on the non-trainable variables that it returns)."
)


_OTHER_LOSSES = (
    "The range test saw {losses} losses in {updates} updates: in each step the `train_step` of {kind} must call "
    "`compute_loss` once, for the loss it minimises, and its optimizer once."
)
