"""Snapshots of everything that training changes, and their restoration.

Private names of Keras, checked on Keras 3.15.1: `_tracker` with its `stored_ids` (of layers, metrics and optimizers),
and the attributes of a model in `_MODEL_ATTRIBUTES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import keras
from numpy.typing import NDArray

from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.model_state import compiled_metrics, loss_and_metrics, recurrent_states
from onecycle.keras_support.optimizers import all_optimizers
from onecycle.keras_support.patches import unpatched
from onecycle.keras_support.random_state import (
    global_seed,
    global_seed_generator,
    random_states,
    set_global_seed,
    set_global_seed_generator,
    set_random_states,
)

if TYPE_CHECKING:
    # An attribute's name -> its value and, for a container, a copy of its content.
    SavedAttributes: TypeAlias = dict[str, tuple[Any, Any]]

_MODEL_ATTRIBUTES = (
    *("history", "stop_training", "stop_evaluating", "train_function", "test_function"),
    *("_initial_epoch", "_eval_epoch_iterator", "_jax_state"),
)


@contextmanager
def preserved(model: keras.Model) -> Iterator[None]:
    """Restore everything that training changes when the block ends, even with an exception.

    That is weights, optimizer variables (also of an optimizer that was not built yet), the states of metrics and
    BatchNormalization, seed generators, the global random number generators, `stop_training`, `history`,
    `steps_per_execution` and the compiled functions. Meanwhile experiment trackers see no training of the model.

    Args:
        model: A compiled model that has its weights.
    """
    close_ended_fit(model)
    values = VariableSnapshot(model)
    # The first batch builds losses and metrics too, so their attributes change.
    parts = [*all_optimizers(model), *filter(None, loss_and_metrics(model)), *compiled_metrics(model)]
    attributes = [(part, _saved_attributes(part)) for part in parts]
    model_attributes = {name: vars(model)[name] for name in _MODEL_ATTRIBUTES if name in vars(model)}
    steps_per_execution = model.steps_per_execution
    torch_state = backends.torch_state(model)
    random_state = RandomSnapshot()
    try:
        with unpatched(model):
            yield
    finally:
        # First, since on JAX this writes to the variables that are restored below.
        backends.write_back_state(model)
        for part, saved in attributes:
            _restore_attributes(part, saved)
        values.restore()
        model.steps_per_execution = steps_per_execution
        unset_untracked(model, *_MODEL_ATTRIBUTES)
        set_untracked(model, **model_attributes)
        backends.set_torch_state(torch_state)
        random_state.restore()


class VariableSnapshot:
    """The values of all variables of a model and its optimizer.

    They are kept on the host, because JAX donates the arrays on the device to the next training step.

    Args:
        model: A compiled model.
    """

    def __init__(self, model: keras.Model) -> None:
        variables = [*model.variables, *model.metrics_variables, *recurrent_states(model)]
        # Also of optimizers that a `MultiOptimizer` has not selected yet: they have a step counter from the start.
        variables += [variable for optimizer in all_optimizers(model) for variable in optimizer.variables]
        self._metrics = {id(variable) for variable in model.metrics_variables}
        # A variable may be in several of these lists.
        unique = {id(variable): variable for variable in variables}
        self._values = [(variable, _copy_to_host(variable)) for variable in unique.values()]

    def restore(self, *, metrics: bool = True) -> None:
        """Assign every variable the value it had.

        Args:
            metrics: Whether to restore the variables of metrics too.
        """
        for variable, value in self._values:
            if metrics or id(variable) not in self._metrics:
                variable.assign(value)


class RandomSnapshot:
    """The states of all global random number generators, including Keras' seed generator."""

    def __init__(self) -> None:
        self._states = random_states()
        self._seed = global_seed()
        self._generator = global_seed_generator()
        self._state = None if self._generator is None else _copy_to_host(self._generator.state)

    def restore(self) -> None:
        """Restore the states."""
        set_random_states(self._states)
        set_global_seed(self._seed)
        set_global_seed_generator(self._generator)
        if self._generator is not None:
            self._generator.state.assign(self._state)


def _copy_to_host(variable: keras.Variable) -> NDArray[Any]:
    return backends.to_numpy(variable).copy()


def _saved_attributes(part: object) -> SavedAttributes:
    """Return an object's attributes, each container with a copy of its content."""
    saved: SavedAttributes = {name: (value, _content(value)) for name, value in vars(part).items()}
    tracker = vars(part).get("_tracker")
    if tracker is not None:
        saved["_tracker"] = (tracker, {name: set(ids) for name, ids in tracker.stored_ids.items()})
    return saved


def _content(value: object) -> SavedAttributes | list[object] | dict[object, object] | set[object] | None:
    if backends.is_tracked_list(value):
        return _saved_attributes(value)
    return value.copy() if isinstance(value, (list, dict, set)) else None


def _restore_attributes(part: object, saved: SavedAttributes) -> None:
    """Restore attributes. Containers are changed in place, since Keras' trackers refer to them."""
    unset_untracked(part, *(set(vars(part)) - set(saved)))
    for name, (value, content) in saved.items():
        set_untracked(part, **{name: value})
        if name == "_tracker":
            for store, ids in content.items():
                value.stored_ids[store].clear()
                value.stored_ids[store].update(ids)
        else:
            _restore_content(value, content)


def _restore_content(value: object, content: Any) -> None:
    # The methods of the built-in types bypass the tracking of Keras' subclasses.
    if backends.is_tracked_list(value):
        _restore_attributes(value, content)
    elif isinstance(value, list):
        list.__setitem__(value, slice(None), content)
    elif isinstance(value, dict):
        _restore_dict(value, content)
    elif isinstance(value, set):
        set.clear(value)
        set.update(value, content)


def _restore_dict(value: dict[object, object], content: dict[object, object]) -> None:
    if len(value) == len(content) and all(name in content and content[name] is value[name] for name in value):
        return
    if backends.is_tracked_dict(value):
        # TensorFlow's wrapper has to see every change.
        for name in list(value):
            del value[name]
        for name in content:
            value[name] = content[name]
    else:
        dict.clear(value)
        dict.update(value, content)
