"""State and arguments of a single compiled step as flat lists: a nested structure would be taken apart in each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from onecycle.engine.program_steps import Data
from onecycle.engine.training_program import StepInputs
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import array_copies, compilation

Leaves: TypeAlias = list[keras.KerasTensor]


class CarriedState:
    """The state between two steps, as a flat list.

    Its tensors are copies where a step changes them in place.
    """

    def __init__(self, state: TrainingState) -> None:
        self._lengths = [len(group) for group in state[:4]]
        self.leaves = [compilation.own_copy(leaf) for leaf in flat_state(state)]

    @property
    def state(self) -> TrainingState:
        """The state."""
        return nested_state(self.leaves, self._lengths)

    def put(self, state: TrainingState) -> None:
        """Replace the state."""
        self.leaves = [compilation.own_copy(leaf) for leaf in flat_state(state)]


class StepArguments:
    """The arguments of the steps of a block besides the state: data, rows, learning rate and perhaps momentum."""

    def __init__(self, data: Data, inputs: StepInputs) -> None:
        self._data = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
        self._rows = compilation.step_values(np.asarray(inputs.rows))
        tables = (inputs.learning_rates, inputs.momenta)
        self._values = [compilation.step_values(np.asarray(table)) for table in tables if table is not None]

    def at(self, step: int, rows: int) -> tuple[Any, ...]:
        """Return the arguments of a step with this number of rows."""
        return self._data, self._rows[step][:rows], *(values[step] for values in self._values)


def flat_state(state: TrainingState) -> Leaves:
    """Return the tensors of a state."""
    return [leaf for group in state[:4] for leaf in group] + [state.active]


def nested_state(leaves: Leaves, lengths: Sequence[int]) -> TrainingState:
    """Return the state whose four lists of variables have these lengths."""
    rest = iter(leaves)
    return TrainingState._make([*([next(rest) for _ in range(length)] for length in lengths), next(rest), ()])


def donated_state(state: TrainingState) -> TrainingState:
    """Return a copy of a state, for a program that takes over its memory; the state itself where none does."""
    if not compilation.donates_state():
        return state
    return nested_state(array_copies.copied(flat_state(state)), [len(group) for group in state[:4]])


def nested_data(leaves: Leaves, structure: Data) -> Data:
    """Return tensors in a structure that may have None in places of leaves."""
    rest = iter(leaves)
    data: Data = keras.tree.map_structure(lambda leaf: None if leaf is None else next(rest), structure)
    return data
