"""Compiled programs, cached for as long as their model lives and keeps its optimizer, loss and metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence, Set
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary, ref

import keras

from onecycle.hyperparameters.installation import installed
from onecycle.keras_support.layer_settings import layer_settings
from onecycle.keras_support.model_state import loss_and_metrics
from onecycle.keras_support.optimizers import inner_optimizers, weight_decay_exclusions
from onecycle.keras_support.types import Nested

MAX_ENTRIES = 16  # of one model
MAX_HELD_BYTES = 2**26  # of variables that only programs hold

T = TypeVar("T")


class Program(Protocol):
    """A compiled program, of which one model has several.

    Attributes:
        variables: The variables other than those of layers that the program writes to. They live as long as it does.
    """

    variables: Sequence[keras.Variable]


class ProgramCache:
    """What was compiled for one model since its last `compile`, at most `MAX_ENTRIES` entries."""

    def __init__(self, model: keras.Model) -> None:
        self._parts = [ref(part) for part in _parts(model)]
        self._entries: dict[Hashable, object] = {}  # in the order of their last use

    def is_current(self, model: keras.Model) -> bool:
        """Return whether the model still has the same optimizer, loss and metrics."""
        parts = _parts(model)
        return len(parts) == len(self._parts) and all(
            reference() is part for reference, part in zip(self._parts, parts, strict=True)
        )

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the entry of a key, made on first use. The entry that was not used for longest may be discarded."""
        entry: T = self._entries.pop(key) if key in self._entries else make()  # type: ignore[assignment]
        self._entries[key] = entry
        if len(self._entries) > MAX_ENTRIES:
            self._discard_oldest()
        return entry

    def limit_variables(self, model: keras.Model) -> None:
        """Discard old programs while their variables that the model does not have take more than `MAX_HELD_BYTES`."""
        own = {id(variable) for variable in (*model.optimizer.variables, *model.metrics_variables)}
        while self._entries and self._held_bytes(own) > MAX_HELD_BYTES:
            self._discard_oldest()

    def _held_bytes(self, own: Set[int]) -> int:
        programs = [entry for entry in self._entries.values() if hasattr(entry, "variables")]
        held = {id(variable): variable for program in programs for variable in program.variables}
        return sum(bytes_of(variable) for key, variable in held.items() if key not in own)

    def _discard_oldest(self) -> None:
        del self._entries[next(iter(self._entries))]


# Weak keys, and weak references in the programs, so that a cache lives no longer than its model.
_CACHES: WeakKeyDictionary[keras.Model, ProgramCache] = WeakKeyDictionary()


def cache_of(model: keras.Model) -> ProgramCache:
    """Return the program cache of a model.

    Schedules that are installed in an optimizer become part of a program. Such a model gets a new cache each time.
    """
    if any(installed(inner) for inner in inner_optimizers(model.optimizer)):
        return ProgramCache(model)
    cache = _CACHES.get(model)
    if cache is None or not cache.is_current(model):
        cache = _CACHES[model] = ProgramCache(model)
    return cache


def limit_memory(model: keras.Model) -> None:
    """Discard a model's programs that it cannot use any more, and those that hold many variables of its former state.

    An optimizer that a call has built is unbuilt again at its end, but on TensorFlow the programs go on holding its
    variables, for which a later call passes the values.
    """
    cache = _CACHES.get(model)
    if cache is None:
        return
    if cache.is_current(model):
        cache.limit_variables(model)
    else:
        del _CACHES[model]


def program_key(model: keras.Model, *arrays: Nested) -> Hashable:
    """Return what a compiled program depends on: settings of optimizer and layers, variables, shapes of the data.

    Args:
        model: A compiled model with a built optimizer.
        *arrays: Nested arrays that the program takes as arguments.
    """
    # The settings are read from the inner optimizers: `MultiOptimizer` warns if its config contains a lambda.
    inner_settings = [
        (
            {name: value for name, value in inner.get_config().items() if name != "learning_rate"},
            weight_decay_exclusions(inner),
        )
        for inner in inner_optimizers(model.optimizer)
    ]
    # Identities too: freezing one layer and unfreezing another of the same shape leaves all shapes equal.
    identities = [tuple(map(id, group)) for group in (model.trainable_variables, model.non_trainable_variables)]
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    specs = _array_specs((variables, arrays))
    return repr(inner_settings), layer_settings(model), *identities, keras.config.floatx(), specs


def _array_specs(arrays: Nested) -> Hashable:
    """Return the structure, shapes and dtypes of nested arrays."""
    specs = keras.tree.map_structure(_array_spec, arrays)
    return repr(keras.tree.map_structure(lambda leaf: leaf is None, arrays)), tuple(keras.tree.flatten(specs))


def _array_spec(array: _Array | None) -> str:
    return "" if array is None else f"{array.dtype}{tuple(array.shape)}"


class _Array(Protocol):
    """An array, tensor or variable."""

    dtype: object
    shape: tuple[int | None, ...]


def bytes_of(variable: keras.Variable) -> int:
    """Return the bytes of a variable, at four per value as in float32, whatever its type is."""
    return 4 * math.prod(variable.shape)


def _parts(model: keras.Model) -> list[object]:
    """Return the objects whose settings are part of a program."""
    return [part for part in (model.optimizer, *loss_and_metrics(model)) if part is not None]
