"""The state that a training step takes and returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
from keras import ops

from onecycle.keras_support import compilation


class TrainingState(NamedTuple):
    """The state that a training step takes and returns. For several members each leaf has a leading axis of members.

    Attributes:
        trainable: Values of the model's trainable variables.
        non_trainable: Values of the model's non-trainable variables.
        optimizer: Values of the optimizer's variables.
        metrics: Values of the metrics' variables.
        active: Boolean scalar, whether all losses so far were finite.
        average: The moving average of the weights, see `averaging`. Empty where none is kept.
    """

    trainable: list[keras.KerasTensor]
    non_trainable: list[keras.KerasTensor]
    optimizer: list[keras.KerasTensor]
    metrics: list[keras.KerasTensor]
    active: keras.KerasTensor
    average: Sequence[keras.KerasTensor] = ()

    @classmethod
    def of(cls, model: keras.Model) -> TrainingState:
        """Return the current state of a model."""
        values = [[compilation.frozen_value(variable) for variable in group] for group in _variable_groups(model)]
        return cls._make((*values, ops.convert_to_tensor(True, "bool"), ()))

    def assign_to(self, model: keras.Model) -> None:
        """Give a model this state."""
        for variables, values in zip(_variable_groups(model), self[:4], strict=True):
            assign_all(variables, values)

    def with_layers_of(self, model: keras.Model | None) -> TrainingState:
        """Return the state with the layer variables of another model, or unchanged for None."""
        if model is None:
            return self
        other = TrainingState.of(model)
        return self._replace(trainable=other.trainable, non_trainable=other.non_trainable)


def assign_all(variables: Sequence[keras.Variable], values: Sequence[keras.KerasTensor]) -> None:
    """Give variables new values."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _variable_groups(model: keras.Model) -> tuple[list[keras.Variable], ...]:
    """Return the model's variables in the order of the first four fields of `TrainingState`."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
