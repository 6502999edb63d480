"""The training steps of one optimizer that has schedules or rates of layers.

The optimizer's `apply` is wrapped on the instance. During one step (or during its trace, where it is compiled) the
numbers that Keras reads, such as `optimizer.momentum`, are replaced by their values at the current step. Before and
after it they are the original ones, so the optimizer's config and saved files are those of a plain optimizer.

Private names of Keras, checked on Keras 3.15.1: `Optimizer._get_current_learning_rate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import keras

from onecycle.hyperparameters.evaluation import HostStepCounter, NumberOrSchedule, evaluate
from onecycle.hyperparameters.layer_rates import LayerRates
from onecycle.hyperparameters.layer_steps import LayerSteps
from onecycle.hyperparameters.optimizer_traits import (
    casts_momentum,
    compares_momentum,
    momentum_attributes,
    weight_decay_attributes,
)
from onecycle.hyperparameters.readable_rate import ReadableRate
from onecycle.hyperparameters.value_table import ValueTable
from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.copying import is_being_copied
from onecycle.keras_support.fit_scope import FitScope
from onecycle.keras_support.gradient_sum import without_gradient_sum
from onecycle.keras_support.optimizers import raw_step, shared_dtype, step_counter, unscheduled_learning_rate
from onecycle.keras_support.running_fit import trains
from onecycle.keras_support.traceable import traceable_momentum

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested, Step, StepValue


class ScheduledSteps:
    """The steps of one optimizer with schedules, which are evaluated once per step for all its variables.

    Args:
        optimizer: The optimizer.
        plan: As for `install`.
        layer_rates: The same.

    Attributes:
        plan: The installed hyperparameters: name -> a number or a schedule.
        layer_rates: The factors of weights that have a rate of their own, or None.
        fit_scope: The change of the model that the schedules belong to, if they are those of one `fit`.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        plan: Mapping[str, NumberOrSchedule],
        layer_rates: LayerRates | None = None,
    ) -> None:
        self.plan = dict(plan)
        self.layer_rates = layer_rates
        self.fit_scope: FitScope | None = None
        self._first_step = raw_step(optimizer)
        self._optimizer = optimizer
        self._apply, self._config = optimizer.apply, optimizer.get_config
        self._host_counter = HostStepCounter(step_counter(optimizer))
        self._current: dict[str, StepValue] = {}
        self._depth = 0
        # Decided here and not in each step, which PyTorch runs as Python code.
        self._on_host, self._casts = backends.runs_eagerly(), not backends.mixes_dtypes()
        self._table = ValueTable.of(self.plan)
        self._momentum_attributes = momentum_attributes(optimizer)
        self._compares_momentum = compares_momentum(optimizer)
        factors = layer_rates.factors() if layer_rates else {}
        self._layers = LayerSteps(optimizer, factors) if factors else None

    def apply(
        self, grads: Sequence[Nested], trainable_variables: Sequence[keras.Variable] | None = None, **kwargs: object
    ) -> object:
        """Call `optimizer.apply` with the hyperparameters of the current step.

        Args:
            grads: As in `optimizer.apply`.
            trainable_variables: The same.
            **kwargs: Further arguments of a user's own optimizer.
        """
        build_for_step(self._optimizer, trainable_variables)
        current = self._current_values()
        self._replace(current)
        try:
            # A step without a batch, as at the end of data of unknown length on TensorFlow, must not count.
            with backends.after(grads), without_gradient_sum(self._optimizer):
                return self._apply(grads, trainable_variables, **kwargs)
        finally:
            # Also after an error, since users, checkpoints and `get_config` read these attributes.
            self._put_back()
            self._host_counter.advance()

    def current_learning_rate(self) -> StepValue | keras.Variable:
        """Return what `optimizer.learning_rate` is: within a step a tensor, and a number to read between steps.

        While `fit` runs, that is the rate of the step that has been made, which callbacks log; otherwise, and before
        the first step, that of the next one, as Keras has it.
        """
        rate = self._rate_now()
        factor = 1.0 if self._layers is None else self._layers.factor
        return rate if factor == 1 else rate * factor

    def config(self) -> dict[str, object]:
        """Return the config of the optimizer, which has no schedules.

        Raises:
            ValueError: If the optimizer, or a model with it, is being copied or pickled. Schedules of a `fit` belong to
                that `fit` alone, so a copy made meanwhile is plain.
        """
        if self.fit_scope is None and is_being_copied():
            raise ValueError(
                f"This {type(self._optimizer).__name__} has schedules of onecycle, which a copy would not have. Call "
                "`unschedule_hyperparameters` before copying or pickling it or its model, and schedule the copy. "
                "OneCycleScheduler and `fit_one_cycle` schedule each model when they train it."
            )
        return self._config()

    def _replace(self, current: dict[str, StepValue]) -> None:
        # Under tf.distribute's MirroredStrategy several replicas are inside `apply` at once, taking turns.
        self._depth += 1
        self._current = current
        if self._depth == 1:
            self._originals = {name: getattr(self._optimizer, name) for name in current if name != "learning_rate"}
            if self._layers is not None:
                self._layers.begin()
        set_untracked(self._optimizer, **{name: current[name] for name in self._originals})

    def _put_back(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            if self._layers is not None:
                self._layers.end()
            set_untracked(self._optimizer, **self._originals)
            self._current = {}

    def _current_values(self) -> dict[str, StepValue]:
        """Return the values of the current step by the optimizer's attribute names, and the learning rate."""
        # PyTorch traces a step only for a compiled program.
        on_host = self._on_host and not backends.is_tracing()
        step = self._host_counter.read() if on_host else step_counter(self._optimizer)
        values = self._table.at(step) if self._table else {}
        # The table has no plain numbers, and no schedules that are not made of phases.
        if len(values) < len(self.plan):
            values |= {name: evaluate(value, step) for name, value in self.plan.items() if name not in values}
        # Muon has two momenta and two weight decays, which follow the same schedule.
        current: dict[str, StepValue] = {}
        if self._casts:
            values = self._cast(values)
        if "momentum" in values:
            momentum = values["momentum"]
            if self._compares_momentum:
                momentum = traceable_momentum(momentum)
            current |= dict.fromkeys(self._momentum_attributes, momentum)
        if "weight_decay" in values:
            current |= dict.fromkeys(weight_decay_attributes(self._optimizer), values["weight_decay"])
        if "learning_rate" in values:
            current["learning_rate"] = values["learning_rate"]
        return current

    def _cast(self, values: Mapping[str, StepValue]) -> dict[str, StepValue]:
        """Return rate and momentum in the dtype of the weights, which TensorFlow does not mix with others."""
        # Most optimizers cast the rate themselves. A momentum keeps its precision where the optimizer allows it.
        dtype = shared_dtype(self._optimizer) or "float32"
        keeps_precision = dtype not in ("float32", "float64") and casts_momentum(self._optimizer)
        dtypes = {"learning_rate": dtype, "momentum": "float32" if keeps_precision else dtype}
        return {
            name: backends.in_dtype(value, dtypes[name]) if name in dtypes else value for name, value in values.items()
        }

    def _rate_now(self) -> StepValue | keras.Variable:
        if "learning_rate" in self._current:
            return self._current["learning_rate"]
        if backends.is_tracing():
            return self._learning_rate(step_counter(self._optimizer))
        if self.fit_scope is not None and self.fit_scope.close_if_ended():
            return self._optimizer._get_current_learning_rate()
        if "learning_rate" not in self.plan:
            return unscheduled_learning_rate(self._optimizer)
        step = raw_step(self._optimizer)
        if step > self._first_step and trains(self._optimizer):
            step -= 1
        return ReadableRate(self._learning_rate(step))

    def _learning_rate(self, step: Step) -> StepValue:
        if "learning_rate" in self.plan:
            return evaluate(self.plan["learning_rate"], step)
        return unscheduled_learning_rate(self._optimizer)


def build_for_step(optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable] | None) -> None:
    """Build an optimizer as `apply` does, since TensorFlow cannot create variables inside `backends.after`."""
    if variables is not None and not optimizer.built:
        with keras.name_scope(optimizer.name, caller=optimizer):
            optimizer.build(list(variables))
