"""Snapshots of everything that training changes, and their restoration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keras

from onecycle.keras_support import step_state
from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.data_state import DataSnapshot
from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.foreign_state import restoration_of
from onecycle.keras_support.held_objects import has_attributes, held_objects, is_container
from onecycle.keras_support.host_copies import copies_on_disk, copy_to_host
from onecycle.keras_support.interrupts import undo_unless_finished, without_interrupts
from onecycle.keras_support.layer_content import OF_FIT, LayerContent
from onecycle.keras_support.model_state import loss_and_metrics
from onecycle.keras_support.object_content import ContentSnapshot
from onecycle.keras_support.optimizers import all_optimizers
from onecycle.keras_support.patches import Patches
from onecycle.keras_support.random_state import (
    global_seed,
    global_seed_generator,
    random_states,
    set_global_seed,
    set_global_seed_generator,
    set_random_states,
)
from onecycle.keras_support.types import Nested

T = TypeVar("T")


def preserving(
    model: keras.Model,
    run: Callable[[], T],
    *,
    data: Nested = None,
    keep_weights: bool = False,
    on_disk: bool = False,
) -> T:
    """Call `run` and restore everything that training changes, even after an exception.

    That is weights, optimizers (also those that were not built yet), the states of metrics and BatchNormalization, seed
    generators, all other state and all attributes of what the model holds, the compiled functions, the global random
    number generators and those of the data. An interrupt during the restoration is raised after it. Experiment
    trackers do not notice that the model is trained.

    Args:
        model: A compiled model.
        run: What trains the model.
        data: The data that is read, as `fit` takes it, also nested.
        keep_weights: Whether weights that `run` creates stay, and with them the attributes of layers.
        on_disk: Whether large variables are kept in temporary files, those of snapshots within `run` too.

    Returns:
        What `run` returned.
    """
    with copies_on_disk(on_disk):
        return _preserving(model, run, data, keep_weights)


def _preserving(model: keras.Model, run: Callable[[], T], data: Nested, keep_weights: bool) -> T:
    close_ended_fit(model)
    before = _TrainingSnapshot(model, data, keep_weights)
    # An interrupt ends one attempt to restore, wherever it is raised, and the next one is made on the way out. (A
    # context manager would not do: an interrupt between its block and its `__exit__` would skip the latter.)
    try:
        try:
            try:
                before.patches.remove()
                return run()
            finally:
                before.restore()
        finally:
            before.restore()
    finally:
        before.restore()


def undone_unless_finished(model: keras.Model, run: Callable[[], T], *, data: Nested = None) -> T:
    """Call `run`; if an exception or an interrupt ends it, restore everything that training changes.

    Experiment trackers do not notice that the model is trained.

    Args:
        model: A compiled model.
        run: What trains the model.
        data: The data that is read, as `fit` takes it, also nested.

    Returns:
        What `run` returned.
    """
    close_ended_fit(model)
    before = _TrainingSnapshot(model, data, keep_weights=False)

    def unpatched_run() -> T:
        try:
            before.patches.remove()
            return run()
        finally:
            before.patches.restore()

    return undo_unless_finished(unpatched_run, before.restore)


class _TrainingSnapshot:
    """Everything that training changes, of a model whose `fit` is not running; the arguments are as above."""

    def __init__(self, model: keras.Model, data: Nested, keep_weights: bool) -> None:
        step_state.write_back_state(model)  # of a `fit` that ended with an exception
        self._model = model
        self.patches = Patches(model)
        follow = _has_attributes_but_no_weights if keep_weights else has_attributes
        compiled = [*all_optimizers(model), *filter(None, loss_and_metrics(model)), *model.metrics]
        held = held_objects(*compiled, *(() if keep_weights else (model,)), follow=follow)
        self._content = ContentSnapshot(one for one in held if follow(one) or is_container(one))
        self._fit_attributes = _fit_attributes(model)
        self._state = StateSnapshot(model, layers_only=keep_weights)
        self._torch_state = step_state.torch_state(model)
        self._random_state = RandomSnapshot()
        self._data = DataSnapshot(data)
        self._restored = False

    def restore(self) -> None:
        """Restore everything, unless that is done. Ctrl-C is held back meanwhile."""
        if not self._restored:
            without_interrupts(self._restore)

    def _restore(self) -> None:
        # Otherwise JAX would write the state of the last step over what is restored.
        step_state.discard_state(self._model)
        self.patches.restore()
        # First the attributes, which hold the objects whose values follow.
        self._content.restore()
        new = [name for name in _fit_attributes(self._model) if name not in self._fit_attributes]
        unset_untracked(self._model, *new)
        set_untracked(self._model, **self._fit_attributes)
        self._state.restore()
        step_state.set_torch_state(self._torch_state)
        self._data.restore()
        self._random_state.restore()
        self._restored = True


class StateSnapshot:
    """The values of everything that a model holds: variables of layers and optimizers, and state of other kinds.

    They are kept on the host, because JAX donates the arrays on the device to the next training step. What did not
    exist yet when the snapshot was taken is left unchanged.

    Args:
        model: A compiled model.
        layers_only: Whether to record attributes, such as counters, of built layers only, not of the user's objects.
    """

    def __init__(self, model: keras.Model, *, layers_only: bool = False) -> None:
        # Also of optimizers that a `MultiOptimizer` has not selected yet: they have a step counter from the start.
        optimizers = all_optimizers(model)
        held = held_objects(*optimizers, model)
        variables = [*model.variables, *model.metrics_variables]
        variables += [variable for optimizer in optimizers for variable in optimizer.variables]
        # States of recurrent layers, for example, are in no such list.
        variables += [one for one in held if isinstance(one, keras.Variable)]
        metrics = [one for one in held if isinstance(one, keras.metrics.Metric)]
        self._metrics = {id(one) for one in [*model.metrics_variables, *(v for m in metrics for v in m.variables)]}
        # A variable may be in several of these lists.
        unique = {id(variable): variable for variable in variables}
        self._values = [(variable, copy_to_host(variable)) for variable in unique.values()]
        arrays = {id(variable.value) for variable in unique.values()}
        restorations = [restoration_of(one) for one in held if id(one) not in arrays]
        self._restorations = [restore for restore in restorations if restore is not None]
        self._content = LayerContent(one for one in held if not layers_only or isinstance(one, keras.layers.Layer))

    def restore(self, *, metrics: bool = True) -> None:
        """Give everything the value it had. This may be called while `fit` is running, and more than once.

        Args:
            metrics: Whether to restore the variables of metrics too.
        """
        self._content.restore()
        for restore in self._restorations:
            restore()
        for variable, value in self._values:
            if metrics or id(variable) not in self._metrics:
                variable.assign(value)


class RandomSnapshot:
    """The states of all global random number generators, including Keras' seed generator."""

    def __init__(self) -> None:
        self._states = random_states()
        self._seed = global_seed()
        self._generator = global_seed_generator()
        self._state = None if self._generator is None else copy_to_host(self._generator.state)

    def restore(self) -> None:
        """Restore the states."""
        set_random_states(self._states)
        set_global_seed(self._seed)
        set_global_seed_generator(self._generator)
        if self._generator is not None:
            self._generator.state.assign(self._state)


def _fit_attributes(model: keras.Model) -> dict[str, object]:
    return {name: value for name, value in vars(model).items() if name in OF_FIT}


def _has_attributes_but_no_weights(value: object) -> bool:
    return has_attributes(value) and not isinstance(value, keras.layers.Layer)
