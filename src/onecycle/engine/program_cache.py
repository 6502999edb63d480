"""Compiled programs, cached for as long as their model lives and keeps its optimizer, loss and metrics."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary, ref

import keras

from onecycle.hyperparameters.installation import installed
from onecycle.keras_support import backends
from onecycle.keras_support.model_state import loss_and_metrics
from onecycle.keras_support.optimizers import inner_optimizers, weight_decay_exclusions
from onecycle.keras_support.types import Nested

T = TypeVar("T")


class ProgramCache:
    """What was compiled for one model since its last `compile`."""

    def __init__(self, model: keras.Model) -> None:
        self._parts = [ref(part) for part in _parts(model)]
        self._entries: dict[Hashable, object] = {}

    def is_current(self, model: keras.Model) -> bool:
        """Return whether the model still has the same optimizer, loss and metrics, on TensorFlow also the variables."""
        parts = _parts(model)
        return len(parts) == len(self._parts) and all(
            reference() is part for reference, part in zip(self._parts, parts, strict=True)
        )

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the entry of a key, made on first use."""
        if key not in self._entries:
            self._entries[key] = make()
        entry: T = self._entries[key]  # type: ignore[assignment]  # a key always stands for the same type
        return entry


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


def discard_stale_programs(model: keras.Model) -> None:
    """Discard programs that hold optimizer variables which the model no longer has. They would stay in memory."""
    cache = _CACHES.get(model)
    if cache is not None and not cache.is_current(model):
        del _CACHES[model]


def program_key(model: keras.Model, *arrays: Nested) -> Hashable:
    """Return what a compiled program depends on: the optimizer's settings, the variables, and the shapes of the data.

    As in Keras' own compiled step, a layer that is changed afterwards takes effect only after another `compile`.

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
    return repr(inner_settings), *identities, keras.config.floatx(), _array_specs((variables, arrays))


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


def _parts(model: keras.Model) -> list[object]:
    """Return the objects that a program holds on to."""
    # On TensorFlow, programs hold the optimizer's variables. On JAX they take the values as arguments.
    variables = () if backends.is_functional() else model.optimizer.variables
    return [part for part in (model.optimizer, *loss_and_metrics(model), *variables) if part is not None]
