"""Everything a range test or a sweep borrows from a model, taken down and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_quietly, unset_quietly
from onecycle.keras_support.fit_scope import release
from onecycle.keras_support.model_state import compiled_parts, metrics_of, recurrent_states
from onecycle.keras_support.optimizers import all_optimizers
from onecycle.keras_support.random_state import (
    global_seed,
    global_seed_generator,
    random_states,
    set_global_seed,
    set_global_seed_generator,
    set_random_states,
)

_MODEL_ATTRIBUTES = (
    *("history", "stop_training", "stop_evaluating", "train_function", "test_function"),
    *("_initial_epoch", "_eval_epoch_iterator", "_jax_state"),
)


@contextmanager
def preserved(model: Any) -> Iterator[None]:
    """Give back everything that training changes when the block ends, however it ends.

    Weights, optimizer variables (also an optimizer that was not built yet), BatchNorm and metric state, seed
    generators, the global random number generators, `stop_training`, `history`, `steps_per_execution` and the compiled
    functions are as they were before. The model must have its weights already.
    """
    release(model)
    values = VariableSnapshot(model)
    # Losses and metrics too build themselves on the first batch.
    parts = [*all_optimizers(model), *filter(None, compiled_parts(model))]
    parts += metrics_of(model)
    attributes = [(part, _attributes(part)) for part in parts]
    model_attributes = {name: vars(model)[name] for name in _MODEL_ATTRIBUTES if name in vars(model)}
    steps_per_execution = model.steps_per_execution
    torch_state = backends.torch_state(model)
    randomness = RandomSnapshot()
    try:
        yield
    finally:
        backends.attach_state(model)
        for part, saved in attributes:
            _restore_attributes(part, saved)
        values.restore()
        model.steps_per_execution = steps_per_execution
        unset_quietly(model, *_MODEL_ATTRIBUTES)
        set_quietly(model, **model_attributes)
        backends.set_torch_state(torch_state)
        randomness.restore()


class VariableSnapshot:
    """The values of all variables of a model and its optimizer, on the host.

    On the host because JAX donates the device's arrays to the next training step.
    """

    def __init__(self, model: Any) -> None:
        variables = [*model.variables, *model.metrics_variables, *recurrent_states(model)]
        # Also of optimizers that a `MultiOptimizer` has not taken in yet: they count from their making.
        variables += [variable for optimizer in all_optimizers(model) for variable in optimizer.variables]
        self._metrics = {id(variable) for variable in model.metrics_variables}
        unique = {id(variable): variable for variable in variables}
        self._values = [(variable, _to_host(variable)) for variable in unique.values()]

    def restore(self, *, metrics: bool = True) -> None:
        """Assign every variable the value it had, those of metrics only where asked to."""
        for variable, value in self._values:
            if metrics or id(variable) not in self._metrics:
                variable.assign(value)


class RandomSnapshot:
    """The states of all global random number generators, Keras' own included."""

    def __init__(self) -> None:
        self._states = random_states()
        self._seed = global_seed()
        self._generator = global_seed_generator()
        self._state = None if self._generator is None else _to_host(self._generator.state)

    def restore(self) -> None:
        """Put them back."""
        set_random_states(self._states)
        set_global_seed(self._seed)
        set_global_seed_generator(self._generator)
        if self._generator is not None:
            self._generator.state.assign(self._state)


def _to_host(variable: Any) -> Any:
    return backends.to_numpy(variable).copy()


def _attributes(part: Any) -> dict[str, Any]:
    """An object's attributes, with a copy of each container beside the container itself."""
    tracker = vars(part).get("_tracker")
    saved = {name: (value, _content(value)) for name, value in vars(part).items()}
    if tracker is not None:
        saved["_tracker"] = (tracker, {name: set(ids) for name, ids in tracker.stored_ids.items()})
    return saved


def _content(value: Any) -> Any:
    if backends.is_tracked_list(value):
        return _attributes(value)
    return value.copy() if isinstance(value, (list, dict, set)) else None


def _restore_attributes(part: Any, saved: dict[str, Any]) -> None:
    """Put attributes back; containers keep their identity, since Keras' trackers hold on to them."""
    unset_quietly(part, *(set(vars(part)) - set(saved)))
    for name, (value, content) in saved.items():
        set_quietly(part, **{name: value})
        if name == "_tracker":
            for store, ids in content.items():
                value.stored_ids[store].clear()
                value.stored_ids[store].update(ids)
        elif backends.is_tracked_list(value):
            _restore_attributes(value, content)
        elif isinstance(value, list):
            list.__setitem__(value, slice(None), content)
        elif isinstance(value, dict):
            _restore_dict(value, content)
        elif isinstance(value, set):
            set.clear(value)
            set.update(value, content)


def _restore_dict(value: Any, content: dict[Any, Any]) -> None:
    if len(value) == len(content) and all(name in content and content[name] is value[name] for name in value):
        return
    if backends.is_tracked_dict(value):
        for name in list(value):
            del value[name]
        for name in content:
            value[name] = content[name]
    else:
        dict.clear(value)
        dict.update(value, content)
