"""One cycle in one call of `fit`: installed when training begins, and removed however it ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.hyperparameters.current_values import values_at
from onecycle.hyperparameters.evaluation import evaluate
from onecycle.hyperparameters.installation import InstalledState, installed, remove_with_fit
from onecycle.hyperparameters.layer_rates import LayerRates
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support.fit_scope import FitScope
from onecycle.keras_support.interrupts import undo_unless_finished
from onecycle.keras_support.optimizers import (
    elapsed_steps,
    inner_optimizers,
    is_multi_optimizer,
    lost_steps,
    raw_step,
    skips_updates,
)
from onecycle.keras_support.train_function import first_call
from onecycle.keras_support.types import Nested
from onecycle.training.cycle_spec import CycleSchedules
from onecycle.training.step_check import StepCheck

P = ParamSpec("P")
R = TypeVar("R")


class CycleRun:
    """Schedules installed for one `fit`, and removed however it ends.

    Args:
        model: The model whose `fit` runs.
        schedules: The schedules of the learning rate and of the momentum.
        layer_rates: The rates of layers, or None to leave them as they are.
        length_given: Whether the user gave the length of the cycle in steps of the optimizer.

    Attributes:
        first_step: The steps that the optimizer had made when the schedules were installed, undone ones included.
        calls: Number of calls of the compiled training function, counted in the first epoch and, if updates may be
            skipped, in all others.
    """

    def __init__(
        self,
        model: keras.Model,
        schedules: CycleSchedules,
        layer_rates: LayerRates | None = None,
        *,
        length_given: bool,
    ) -> None:
        optimizer = model.optimizer
        self._model = model
        self._train_function = model.train_function
        self._compiled: Callable[..., Nested] | None = None
        self._scheduled: Callable[..., Nested] | None = None
        self._installed_before = InstalledState(optimizer)
        self._skips_updates = skips_updates(optimizer)
        self._counts_calls = True
        self._check: StepCheck | None = StepCheck(model, length_given=length_given)
        self.first_step = elapsed_steps(optimizer)
        self.calls = 0
        self._names = ("learning_rate", "momentum") if schedules.momentum else ("learning_rate",)
        self._scope: FitScope | None = None
        undo_unless_finished(lambda: self._install(schedules, layer_rates), self.end)

    def end(self) -> None:
        """Restore the model's optimizer and training function. A second call does nothing."""
        if self._scope is None:
            self._undo()  # an interrupt has ended the installation
        else:
            self._scope.close()

    def current(self, schedules: CycleSchedules) -> CycleSchedules:
        """Return the schedules as they are installed: a `DivergenceGuard` may have lowered the learning rate."""
        found = installed(inner_optimizers(self._model.optimizer)[0])
        plan = {} if found is None or is_multi_optimizer(self._model.optimizer) else found.plan
        rate, momentum = plan.get("learning_rate"), plan.get("momentum")
        return dataclasses.replace(
            schedules,
            learning_rate=rate if isinstance(rate, LearningRateSchedule) else schedules.learning_rate,
            momentum=momentum if isinstance(momentum, LearningRateSchedule) else schedules.momentum,
        )

    def rate_at(self, schedules: CycleSchedules, step: int) -> float:
        """Return the learning rate of a step, for a progress bar.

        Args:
            schedules: As for `current`.
            step: The step, counted as if no rescue had set the counter back.
        """
        # Not through a callback's `model`, which takes the state from a running `fit` on JAX.
        return float(evaluate(self.current(schedules).learning_rate, step - lost_steps(self._model.optimizer)))

    def replace(self, schedules: CycleSchedules) -> None:
        """Train with other schedules from the next step on, for which the step is compiled again."""
        schedule_hyperparameters(self._model, learning_rate=schedules.learning_rate, momentum=schedules.momentum)

    def end_epoch(self) -> None:
        """Check, after the first epoch, that the optimizer made one step per batch.

        Raises:
            ValueError: If it did not. The cycle is then removed.
        """
        if self._check is None:
            return
        check, self._check = self._check, None
        self._or_end(check.check_epoch, self.calls)
        self._counts_calls = self._skips_updates
        # A wrapper that another callback has put around it stays.
        if not self._counts_calls and self._model.train_function is self._scheduled:
            self._model.train_function = self._scheduled = self._compiled

    def last_values(self) -> dict[str, float]:
        """Return the learning rate and the momentum of the last step, as far as the cycle has them; nothing before it.

        The names are those of `HyperparameterLogger`.
        """
        optimizer = self._model.optimizer
        # After a rescue the counter may be at the start again; the installed schedules take that into account.
        values = values_at(optimizer, raw_step(optimizer) - 1) if elapsed_steps(optimizer) > self.first_step else {}
        return {name: value for name, value in values.items() if name.startswith(self._names)}

    def skipped_steps(self, epochs: int, steps_per_epoch: int | None) -> int | None:
        """Return the number of updates that loss scaling skipped; None if the batches cannot be counted.

        Args:
            epochs: Number of epochs trained.
            steps_per_epoch: Batches per epoch, or None if unknown.
        """
        if not self._skips_updates:
            return 0
        # The optimizer counts applied updates only; the difference to the batches is what was skipped.
        batches = self._batches(epochs, steps_per_epoch)
        return None if batches is None else batches - (elapsed_steps(self._model.optimizer) - self.first_step)

    def _batches(self, epochs: int, steps_per_epoch: int | None) -> int | None:
        """Return the number of batches trained on, those of skipped updates included."""
        per_call = self._model.steps_per_execution
        if per_call == 1:
            return self.calls
        if steps_per_epoch is None:
            return None
        # The last call of an epoch may have had fewer batches, and a stopped epoch lacks its last calls.
        complete = self.calls == epochs * -(-steps_per_epoch // per_call)
        return epochs * steps_per_epoch if complete else None

    def _install(self, schedules: CycleSchedules, layer_rates: LayerRates | None) -> None:
        schedule_hyperparameters(
            self._model,
            learning_rate=schedules.learning_rate,
            momentum=schedules.momentum,
            layer_rates=layer_rates,
        )
        self._count_calls()
        self._scope = FitScope(self._model, self._undo, self._count_calls)
        remove_with_fit(self._model.optimizer, self._scope)

    def _undo(self) -> None:
        self._installed_before.restore_where_installed()
        # A training function made in the meantime may contain the cycle, so the next `fit` makes a new one.
        if self._model.train_function is not self._train_function:
            is_ours = self._model.train_function is self._scheduled
            self._model.train_function = self._train_function if is_ours else None

    def _count_calls(self) -> None:
        """Wrap the training function while its calls must be counted."""
        self._compiled = self._model.train_function
        if self._counts_calls:
            self._model.train_function = self._counting(self._compiled)
        self._scheduled = self._model.train_function

    def _counting(self, train_function: Callable[..., Nested]) -> Callable[..., Nested]:
        def counted(*args: object) -> Nested:
            if not self.calls:
                result = self._or_end(first_call, self._model, train_function, *args)
            else:
                result = train_function(*args)
            self.calls += 1  # not for a call that found no batch
            if self.calls == 1 and self._check is not None:
                self._or_end(self._check.check_first_call, result)
            return result

        return counted

    def _or_end(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function, and remove the cycle if it raises a ValueError."""
        try:
            return function(*args, **kwargs)
        except ValueError:
            self.end()
            raise
