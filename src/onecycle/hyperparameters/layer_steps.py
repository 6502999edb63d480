"""The steps of one optimizer in which some weights have a learning rate of their own.

The methods that Keras calls within a step are replaced on the instance while the step runs, or is traced. The factors
are constants of the trace, and no variable is added.

Private names of Keras, checked on Keras 3.15.1: `Optimizer._backend_update_step`, `_apply_weight_decay`,
`_use_weight_decay` and `_trainable_variables`; of PyTorch's optimizers `_parallel_update_step`; `Nadam._u_product`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import keras

from onecycle.hyperparameters.optimizer_traits import is_optimizer
from onecycle.keras_support import backends
from onecycle.keras_support.attributes import AttributeOverride
from onecycle.keras_support.optimizers import updated_weight

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested, StepValue


class LayerSteps:
    """Replaces the methods of an optimizer that update weights, from `begin` until `end`.

    A weight with factor 0 is left out of the step: neither the weight nor its moments change.

    Args:
        optimizer: An optimizer that is no wrapper around others.
        factors: id of a weight -> factor on its learning rate. Any other weight has factor 1.

    Attributes:
        factor: The factor on what the optimizer reads as its learning rate at this moment, which is that of the weights
            whose decay is computed.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, factors: Mapping[int, float]) -> None:
        self._optimizer, self._factors = optimizer, factors
        # Keras' optimizers on PyTorch update all weights with one call. Those of users and some others do not.
        self._at_once = hasattr(optimizer, "_parallel_update_step")
        self._override: AttributeOverride | None = None
        self.factor = 1.0

    def begin(self) -> None:
        """Replace the methods."""
        self.end()  # of a step that an interrupt has ended
        optimizer = self._optimizer
        update = "_backend_update_step" if self._at_once else "update_step"
        self._update, self._decay = getattr(optimizer, update), optimizer._apply_weight_decay
        own = self._update_groups if self._at_once else self._update_one
        self._override = AttributeOverride(optimizer, **{update: own, "_apply_weight_decay": self._decayed})
        self._override.apply()

    def end(self) -> None:
        """Restore the methods. A second call does nothing."""
        if self._override is not None:
            self._override.undo()
            self._override = None

    def _update_one(self, gradient: Nested, variable: object, learning_rate: StepValue) -> None:
        factor = self._factor_of(variable)
        if factor:
            self._update(gradient, variable, learning_rate if factor == 1 else learning_rate * factor)

    def _update_groups(
        self, gradients: Sequence[Nested], variables: Sequence[keras.Variable], learning_rate: StepValue
    ) -> None:
        """Update all weights of one factor after those of another."""
        shared = _state_of_all_weights(self._optimizer)
        before = [keras.ops.copy(variable.value) for variable in shared]
        for number, (factor, members) in enumerate(self._groups(variables).items()):
            # Each call advances this state, but a step advances it once.
            for variable, value in zip(shared, before if number else (), strict=False):
                variable.assign(value)
            chosen = [gradients[member] for member in members], [variables[member] for member in members]
            self._update(*chosen, learning_rate if factor == 1 else learning_rate * factor)

    def _decayed(self, variables: Sequence[keras.Variable]) -> None:
        optimizer = self._optimizer
        if backends.runs_eagerly() and optimizer.weight_decay is not None:
            # PyTorch takes no empty list.
            variables = [variable for variable in variables if optimizer._use_weight_decay(variable)]
        try:
            for factor, members in self._groups(variables).items():
                self.factor = factor
                self._decay([variables[member] for member in members])
        finally:
            self.factor = 1.0

    def _groups(self, variables: Sequence[object]) -> dict[float, list[int]]:
        """Return factor -> the positions of its weights. Those of factor 0 are left out."""
        groups: dict[float, list[int]] = {}
        for position, variable in enumerate(variables):
            groups.setdefault(self._factor_of(variable), []).append(position)
        groups.pop(0.0, None)
        return groups

    def _factor_of(self, variable: object) -> float:
        return self._factors.get(id(updated_weight(self._optimizer, variable)), 1.0)


def require_updates_by_weight(optimizer: keras.optimizers.Optimizer) -> None:
    """Check that an optimizer updates its weights by a method that Keras calls for each of them.

    Raises:
        ValueError: If it does not.
    """
    base = keras.optimizers.Optimizer
    own = type(optimizer)
    if not hasattr(own, "_parallel_update_step") and own.update_step is base.update_step:
        raise ValueError(
            f"The optimizer {own.__name__} has no method `update_step`, by which layers could have rates of their own. "
            "Leave out `layer_rates`."
        )


def _state_of_all_weights(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables that change once in a step, not once for each weight, apart from the step counter."""
    return [optimizer._u_product] if is_optimizer(optimizer, "Nadam") else []
