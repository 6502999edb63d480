"""The states of a pause as values that a file can hold, each with the method that restores it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from numpy.typing import NDArray

from onecycle.keras_support.portable_state import (
    assign_values,
    data_values,
    foreign_values,
    set_data_values,
    set_foreign_values,
    values_of,
    variables_of,
)
from onecycle.keras_support.random_state import portable_random_states, set_portable_random_states
from onecycle.keras_support.types import Nested


@dataclass(frozen=True)
class PortableRandom:
    """The states of the global random generators.

    Attributes:
        values: The states.
    """

    values: dict[str, Any]

    @classmethod
    def now(cls) -> PortableRandom:
        """Return the current states."""
        return cls(portable_random_states())

    def restore(self) -> None:
        """Restore the states."""
        set_portable_random_states(self.values)


@dataclass(frozen=True)
class PortableData:
    """The state of data.

    Attributes:
        data: The data, as `fit` takes it, also nested.
        values: Its state.
    """

    data: Nested
    values: list[Any]

    @classmethod
    def now(cls, data: Nested) -> PortableData:
        """Return the current state of the data."""
        return cls(data, data_values(data))

    def restore(self) -> None:
        """Restore the state."""
        set_data_values(self.data, self.values)


@dataclass(frozen=True)
class PortableVariables:
    """The state of a model and of its optimizer.

    Attributes:
        model: The model.
        arrays: The values of its variables, those of metrics apart.
        foreign: The state outside Keras' variables.
        metrics: The values of the metrics' variables.
    """

    model: keras.Model
    arrays: Sequence[NDArray[Any]]
    foreign: list[Any]
    metrics: list[NDArray[Any]]

    @classmethod
    def now(cls, model: keras.Model) -> PortableVariables:
        """Return the current state of a model."""
        arrays, metrics = values_of(variables_of(model)), values_of(model.metrics_variables)
        return cls(model, arrays, foreign_values(model), metrics)

    def restore(self, *, metrics: bool = True) -> None:
        """Restore the state.

        Args:
            metrics: Whether to restore the variables of metrics too, as far as `fit` has created them.
        """
        assign_values(self.model, variables_of(self.model), self.arrays)
        set_foreign_values(self.model, self.foreign)
        variables = self.model.metrics_variables
        if metrics and len(variables) == len(self.metrics):
            for variable, value in zip(variables, self.metrics, strict=True):
                variable.assign(value)
