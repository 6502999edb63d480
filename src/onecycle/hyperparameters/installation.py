"""Installing schedules and the rates of layers in one optimizer, and removing them.

Private names of Keras, checked on Keras 3.15.1: `Optimizer._get_current_learning_rate`, set on the instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import keras

from onecycle.hyperparameters.evaluation import NumberOrSchedule
from onecycle.hyperparameters.layer_rates import LayerRates
from onecycle.hyperparameters.scheduled_steps import ScheduledSteps, build_for_step
from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.fit_scope import FitScope
from onecycle.keras_support.optimizers import inner_optimizers, stepping_optimizers

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

_KEY = "_onecycle_installation"
_INSTALLED = (_KEY, "apply", "get_config", "_get_current_learning_rate")


def install(
    optimizer: keras.optimizers.Optimizer, plan: Mapping[str, NumberOrSchedule], layer_rates: LayerRates | None = None
) -> None:
    """Make hyperparameters of one optimizer follow schedules, and layers have rates of their own.

    Args:
        optimizer: An optimizer that is no wrapper around others.
        plan: Any of `"learning_rate"`, `"momentum"` and `"weight_decay"` -> a number or a schedule. What is already
            installed under another name stays installed.
        layer_rates: The factors of weights. None leaves those that are installed.
    """
    before = installed(optimizer)
    plan = {**(before.plan if before else {}), **plan}
    if layer_rates is None and before is not None:
        layer_rates = before.layer_rates
    # `ScheduledSteps` must wrap the original `apply`, not a wrapper from before.
    uninstall(optimizer)
    steps = ScheduledSteps(optimizer, plan, layer_rates)
    steps.fit_scope = before.fit_scope if before else None
    # Untracked, so that a saved optimizer knows nothing of its schedules.
    set_untracked(
        optimizer,
        **{
            _KEY: steps,
            "apply": backends.exclude_from_compilation(steps.apply),
            "get_config": steps.config,
            "_get_current_learning_rate": steps.current_learning_rate,
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
        build_for_step(optimizer, trainable_variables)
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


def installed(optimizer: keras.optimizers.Optimizer) -> ScheduledSteps | None:
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
