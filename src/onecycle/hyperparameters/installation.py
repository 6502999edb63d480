"""Installing schedules in one optimizer, and removing them.

The optimizer's `apply` is wrapped on the instance. During one step (or during its trace, where it is compiled) the
numbers that Keras reads, such as `optimizer.momentum`, are replaced by their values at the current step. Before and
after it they are the original ones, so the optimizer's config and saved files are those of a plain optimizer.

Private names of Keras, checked on Keras 3.15.1: `Optimizer._get_current_learning_rate`, set on the instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import keras

from onecycle.hyperparameters.evaluation import HostStepCounter, NumberOrSchedule, evaluate
from onecycle.hyperparameters.optimizer_traits import (
    casts_momentum,
    compares_momentum,
    momentum_attributes,
    weight_decay_attributes,
)
from onecycle.hyperparameters.readable_rate import ReadableRate
from onecycle.hyperparameters.value_table import ValueTable
from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.copying import is_being_copied
from onecycle.keras_support.fit_scope import FitScope
from onecycle.keras_support.optimizers import (
    inner_optimizers,
    raw_step,
    shared_dtype,
    step_counter,
    stepping_optimizers,
    unscheduled_learning_rate,
)
from onecycle.keras_support.running_fit import trains
from onecycle.keras_support.traceable import traceable_momentum

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested, Step, StepValue

_KEY = "_onecycle_installation"
_INSTALLED = (_KEY, "apply", "get_config", "_get_current_learning_rate")


def install(optimizer: keras.optimizers.Optimizer, plan: Mapping[str, NumberOrSchedule]) -> None:
    """Make hyperparameters of one optimizer follow schedules.

    Args:
        optimizer: An optimizer that is no wrapper around others.
        plan: Any of `"learning_rate"`, `"momentum"` and `"weight_decay"` -> a number or a schedule. What is already
            installed under another name stays installed.
    """
    before = installed(optimizer)
    plan = {**(before.plan if before else {}), **plan}
    # `Installation` must wrap the original `apply`, not a wrapper from before.
    uninstall(optimizer)
    installation = Installation(optimizer, plan)
    installation.fit_scope = before.fit_scope if before else None
    # Untracked, so that a saved optimizer knows nothing of its schedules.
    set_untracked(
        optimizer,
        **{
            _KEY: installation,
            "apply": backends.exclude_from_compilation(installation.apply),
            "get_config": installation.config,
            "_get_current_learning_rate": installation.current_learning_rate,
        },
    )


def count_batches_only(optimizer: keras.optimizers.Optimizer) -> None:
    """Have a `MultiOptimizer` count no step without a batch, as the optimizers with schedules inside it do.

    Args:
        optimizer: A `MultiOptimizer`.
    """
    if _is_changed(optimizer):
        return
    apply = optimizer.apply

    def counted(
        grads: Sequence[Nested], trainable_variables: Sequence[keras.Variable] | None = None, **kwargs: object
    ) -> object:
        _build(optimizer, trainable_variables)
        with backends.after(grads):
            return apply(grads, trainable_variables, **kwargs)

    # Under the key there are no schedules: they are those of the optimizers inside.
    set_untracked(optimizer, **{_KEY: None, "apply": backends.exclude_from_compilation(counted)})


def uninstall(optimizer: keras.optimizers.Optimizer) -> bool:
    """Restore the original hyperparameters of one optimizer.

    Returns:
        Whether anything was installed.
    """
    if not _is_changed(optimizer):
        return False
    _set_installed(optimizer, {})
    return True


def installed(optimizer: keras.optimizers.Optimizer) -> Installation | None:
    """Return the schedules that are installed in one optimizer, or None."""
    return vars(optimizer).get(_KEY)


def remove_with_fit(optimizer: keras.optimizers.Optimizer, scope: FitScope) -> None:
    """Have what is installed removed as soon as it is noticed that the running `fit` has ended with an exception.

    Args:
        optimizer: The model's optimizer.
        scope: The change of the model that the schedules belong to.
    """
    for inner in inner_optimizers(optimizer):
        installation = installed(inner)
        if installation is not None:
            installation.fit_scope = scope


class InstalledState:
    """A record of what is installed in an optimizer and in the optimizers inside it, to restore it later.

    Args:
        optimizer: The model's optimizer.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._states = [
            (one, {name: vars(one)[name] for name in _INSTALLED if name in vars(one)})
            for one in stepping_optimizers(optimizer)
        ]

    def restore(self) -> None:
        """Restore the recorded state, replacing anything installed since."""
        for one, state in self._states:
            _set_installed(one, state)

    def restore_where_installed(self) -> None:
        """Restore the recorded state where something is installed. What was removed in the meantime stays removed."""
        for one, state in self._states:
            if _is_changed(one):
                _set_installed(one, state)


def _is_changed(optimizer: keras.optimizers.Optimizer) -> bool:
    return _KEY in vars(optimizer)


def _set_installed(optimizer: keras.optimizers.Optimizer, state: Mapping[str, object]) -> None:
    """Make `state` the attributes that an installation sets. After an interrupt, a second call does the rest."""
    set_untracked(optimizer, **state)
    # The key comes last: while it is there, the optimizer counts as scheduled and can be restored again.
    unset_untracked(optimizer, *[name for name in reversed(_INSTALLED) if name not in state])


def _build(optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable] | None) -> None:
    """Build an optimizer as `apply` does, since TensorFlow cannot create variables inside `backends.after`."""
    if variables is not None and not optimizer.built:
        with keras.name_scope(optimizer.name, caller=optimizer):
            optimizer.build(list(variables))


class Installation:
    """The schedules of one optimizer, evaluated once per step for all its variables.

    Args:
        optimizer: The optimizer.
        plan: As for `install`.

    Attributes:
        plan: The installed hyperparameters: name -> a number or a schedule.
        fit_scope: The change of the model that the schedules belong to, if they are those of one `fit`.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, plan: Mapping[str, NumberOrSchedule]) -> None:
        self.plan = dict(plan)
        self.fit_scope: FitScope | None = None
        self._first_step = raw_step(optimizer)
        self._optimizer = optimizer
        self._apply, self._config = optimizer.apply, optimizer.get_config
        self._host_counter = HostStepCounter(step_counter(optimizer))
        self._current: dict[str, StepValue] = {}
        self._depth = 0
        # Decided here and not in each step, which PyTorch runs as Python code.
        self._on_host = backends.runs_eagerly()
        self._table = ValueTable.of(self.plan)
        self._momentum_attributes = momentum_attributes(optimizer)
        self._compares_momentum = compares_momentum(optimizer)

    def apply(
        self, grads: Sequence[Nested], trainable_variables: Sequence[keras.Variable] | None = None, **kwargs: object
    ) -> object:
        """Call `optimizer.apply` with the hyperparameters of the current step.

        Args:
            grads: As in `optimizer.apply`.
            trainable_variables: The same.
            **kwargs: Further arguments of a user's own optimizer.
        """
        _build(self._optimizer, trainable_variables)
        current = self._current_values()
        self._replace(current)
        try:
            # A step without a batch, as at the end of data of unknown length on TensorFlow, must not count.
            with backends.after(grads):
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
        set_untracked(self._optimizer, **{name: current[name] for name in self._originals})

    def _put_back(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            set_untracked(self._optimizer, **self._originals)
            self._current = {}

    def _current_values(self) -> dict[str, StepValue]:
        """Return the values of the current step by the optimizer's attribute names, and the learning rate."""
        step = self._host_counter.read() if self._on_host else step_counter(self._optimizer)
        values = self._table.at(step) if self._table else {}
        # The table has no plain numbers, and no schedules that are not made of phases.
        if len(values) < len(self.plan):
            values |= {name: evaluate(value, step) for name, value in self.plan.items() if name not in values}
        # Muon has two momenta and two weight decays, which follow the same schedule.
        current: dict[str, StepValue] = {}
        # Most optimizers cast the rate themselves. A momentum keeps its precision where the optimizer allows it.
        dtype = shared_dtype(self._optimizer) or "float32"
        if "momentum" in values:
            momentum = values["momentum"]
            keeps_precision = dtype not in ("float32", "float64") and casts_momentum(self._optimizer)
            momentum = backends.in_dtype(momentum, "float32" if keeps_precision else dtype)
            if self._compares_momentum:
                momentum = traceable_momentum(momentum)
            current |= dict.fromkeys(self._momentum_attributes, momentum)
        if "weight_decay" in values:
            current |= dict.fromkeys(weight_decay_attributes(self._optimizer), values["weight_decay"])
        if "learning_rate" in values:
            current["learning_rate"] = backends.in_dtype(values["learning_rate"], dtype)
        return current

    def _learning_rate(self, step: Step) -> StepValue:
        if "learning_rate" in self.plan:
            return evaluate(self.plan["learning_rate"], step)
        return unscheduled_learning_rate(self._optimizer)
