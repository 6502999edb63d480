"""Whether the optimizer that follows a cycle counts one step for each batch, checked in the first epoch."""

from __future__ import annotations

import keras

from onecycle.hyperparameters.unused_optimizer import unused_optimizer_error
from onecycle.keras_support import step_state
from onecycle.keras_support.data_checks import no_batch_message
from onecycle.keras_support.optimizers import elapsed_steps, loss_scale, raw_step, skips_updates, step_counter
from onecycle.keras_support.types import Nested


class StepCheck:
    """Compares the optimizer's step counter with the batches of the first epoch.

    A model's own `train_step` may use other optimizers than that of `compile`, or use it several times per batch or
    only in some of them. The cycle would then be longer or shorter than the training.

    Args:
        model: The model whose `fit` runs.
        length_given: Whether the user gave the length of the cycle in steps. The optimizer may then make any number of
            steps per batch.
    """

    def __init__(self, model: keras.Model, *, length_given: bool) -> None:
        self._model = model
        self._length_given = length_given
        self._first_step, self._first_elapsed = raw_step(model.optimizer), elapsed_steps(model.optimizer)
        self._scale = loss_scale(model.optimizer)
        self._may_skip = skips_updates(model.optimizer)

    def check_first_call(self, result: Nested) -> None:
        """Check the counter after the first call of the compiled training function, and read it only this once.

        Args:
            result: What the function returned.

        Raises:
            ValueError: If the optimizer made no step, or more steps than there were batches.
        """
        if self._may_skip or self._length_given:
            return
        counter = step_counter(self._model.optimizer)
        steps = int(step_state.variable_after_step(self._model, counter, result)) - self._first_step
        # The last call of an epoch may have fewer batches.
        if not 0 < steps <= self._model.steps_per_execution:
            # Otherwise the weights would be lost on JAX, where they are now in the result only.
            step_state.write_back_state(self._model, result)
            raise self._error(steps, self._model.steps_per_execution)

    def check_epoch(self, calls: int) -> None:
        """Check the counter at the end of the first epoch.

        Args:
            calls: Calls of the compiled training function in the epoch.

        Raises:
            ValueError: If there was no batch, or the optimizer made no step, or another number than there were batches.
        """
        optimizer, per_call = self._model.optimizer, self._model.steps_per_execution
        steps = elapsed_steps(optimizer) - self._first_elapsed
        if self._may_skip and loss_scale(optimizer) != self._scale:
            return
        if not calls:
            if steps == 0:
                raise ValueError(no_batch_message("x"))
            return  # another callback has replaced the function
        most = calls * per_call
        least = 0 if self._may_skip else most - per_call + 1
        if steps == 0 or not (self._length_given or least <= steps <= most):
            raise self._error(steps, most)

    def _error(self, steps: int, batches: int) -> ValueError:
        if steps == 0:
            return unused_optimizer_error(self._model)
        kind, optimizer = type(self._model).__name__, type(self._model.optimizer).__name__
        return ValueError(
            f"The optimizer {optimizer} made {steps} steps in {batches} batches, so a cycle of one step per batch does "
            f"not fit the training: the `train_step` of {kind} does not use it once per batch. Pass `total_steps`, the "
            "number of steps that the optimizer makes in this training, to OneCycleScheduler."
        )
