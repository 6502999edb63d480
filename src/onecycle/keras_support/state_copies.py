"""Copies in memory of the state of a training, made while `fit` runs and restored within it.

Unlike a `StateSnapshot`, a copy takes about as long as a training step and stays on the device.

Private names of Keras, checked on Keras 3.15.1: the order of JAX's training state, as in `step_state`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from onecycle.keras_support import array_copies, backends
from onecycle.keras_support.device_memory import free_bytes
from onecycle.keras_support.foreign_state import is_stateful_handle, restoration_of
from onecycle.keras_support.held_objects import held_objects
from onecycle.keras_support.layer_content import LayerContent
from onecycle.keras_support.optimizers import all_optimizers, build_optimizer, step_counter
from onecycle.keras_support.types import Nested


@dataclass
class StateCopy:
    """The values of a model's variables after a step.

    Attributes:
        values: One per variable of `StateCopies`, on the device where possible.
        sums: (variables,) sums of their values, which are not finite where a value is not. Read it later than the copy
            is made, so that no step waits for it.
        restorations: Functions that restore state outside Keras' variables.
    """

    values: list[Nested]
    sums: Nested
    restorations: list[Callable[[], object]]


class StateCopies:
    """Makes and restores copies of all that training changes in a compiled, built model.

    That is weights, optimizer variables, the statistics of BatchNormalization, seed generators, metrics and the step
    counter; and on the backends whose steps can change them, buffers of PyTorch, variables of TensorFlow, and plain
    values that the user's own layers count with.

    Args:
        model: The model, whose `fit` runs. Its optimizer is built if it was not.
    """

    def __init__(self, model: keras.Model) -> None:
        build_optimizer(model.optimizer, model)
        self._model = model
        self._lists = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        held = [] if backends.is_functional() else held_objects(*all_optimizers(model), model)
        others = [variable for optimizer in all_optimizers(model) for variable in optimizer.variables]
        others += [one for one in held if isinstance(one, keras.Variable)]
        listed = [variable for part in self._lists for variable in part]
        # On JAX, a step carries no variables but those of its state.
        unique = {id(one): one for one in [*listed, *([] if backends.is_functional() else others)]}
        self._variables = list(unique.values())
        self._positions = [[list(unique).index(id(one)) for one in part] for part in self._lists]
        self._metrics = {id(one) for one in model.metrics_variables}
        arrays = {id(one.value) for one in self._variables}
        self._foreign = [one for one in held if id(one) not in arrays and _changes_in_step(one)]
        self._own = [one for one in held if _is_users_own(one)] if backends.runs_eagerly() else []
        self._counter = list(unique).index(id(step_counter(model.optimizer)))
        # What is not finite from the start, such as a mask, is no fault.
        self._not_checked = ~np.isfinite(array_copies.read_array(array_copies.sums_of(self._current(None))))

    @property
    def bytes_of_one(self) -> int:
        """How much memory a copy takes, in bytes, without state outside Keras' variables."""
        return sum(math.prod(one.shape) * _item_bytes(one.dtype) for one in self._variables)

    @property
    def free_bytes(self) -> int | None:
        """How much memory is free for copies, in bytes; None where the system does not say."""
        return free_bytes(self._variables[self._counter])

    @property
    def are_outdated(self) -> bool:
        """Whether the first batch has made variables since, as those of metrics on TensorFlow."""
        return len(self._model.metrics_variables) != len(self._lists[3])

    def take(self, result: Nested = None) -> StateCopy:
        """Return a copy of the state.

        Args:
            result: What `model.train_function` has just returned; None at the beginning and the end of an epoch.
        """
        values = array_copies.copied(self._current(result))
        restorations = [restore for restore in map(restoration_of, self._foreign) if restore is not None]
        if self._own:
            restorations.append(LayerContent(self._own).restore)
        return StateCopy(values, array_copies.sums_of(values), restorations)

    def faults(self, copy: StateCopy) -> list[str]:
        """Return the paths of the variables that have values which are NaN or infinite."""
        return self._faults(copy.sums)

    def current_faults(self, result: Nested = None) -> list[str]:
        """Return the same for the present state, without a copy of it.

        Args:
            result: As for `take`.
        """
        return self._faults(array_copies.sums_of(self._current(result)))

    def _faults(self, sums: Nested) -> list[str]:
        finite = np.isfinite(array_copies.read_array(sums)) | self._not_checked
        if finite.all():
            return []
        found = zip(self._variables, finite.tolist(), strict=True)
        return [one.path for one, good in found if not good and id(one) not in self._metrics]

    def restore(self, copy: StateCopy, *, metrics: bool = True) -> None:
        """Give the model's variables the values of a copy, which can be restored again.

        On JAX, call `step_state.write_back_state` before it and `step_state.result_with_state` afterwards.

        Args:
            copy: The copy.
            metrics: Whether the metrics have their values of then. They are reset otherwise.
        """
        for restore in copy.restorations:
            restore()
        for variable, value in zip(self._variables, self._own_values(copy), strict=True):
            if metrics or id(variable) not in self._metrics:
                variable.assign(value)
        if not metrics:
            self._model.reset_metrics()

    def step(self, copy: StateCopy) -> int:
        """Return the optimizer's step counter in a copy."""
        return int(array_copies.read_array(copy.values[self._counter]))

    def _own_values(self, copy: StateCopy) -> list[Nested]:
        """Return values that a training step may take as its own, which JAX then deletes."""
        return array_copies.copied(copy.values) if backends.is_functional() else copy.values

    def _current(self, result: Nested) -> list[Nested]:
        if not backends.is_functional() or result is None:
            return array_copies.arrays_of(self._variables)
        values: list[Nested] = [None] * len(self._variables)
        for positions, part in zip(self._positions, result[1], strict=True):
            for place, value in zip(positions, part, strict=True):
                values[place] = value
        return values


def _changes_in_step(value: object) -> bool:
    """Return whether a training step can change a value that is no variable of Keras, on this backend."""
    if backends.name() == "torch":
        return restoration_of(value) is not None
    return backends.name() == "tensorflow" and is_stateful_handle(value)


def _item_bytes(dtype: str) -> int:
    bits = re.search(r"\d+", dtype)
    return max(int(bits.group()) // 8, 1) if bits else 1  # "bool" has no number


def _is_users_own(value: Any) -> bool:
    return not type(value).__module__.startswith("keras.")
