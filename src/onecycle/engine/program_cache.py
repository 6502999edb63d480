"""Compiled programs, kept as long as their model lives and is compiled as it was."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import keras

from onecycle.hyperparameters.installation import installed
from onecycle.keras_support import compilation
from onecycle.keras_support.model_state import compiled_parts
from onecycle.keras_support.optimizers import inner_optimizers, not_decayed

T = TypeVar("T")

_KEPT: WeakKeyDictionary[Any, Kept] = WeakKeyDictionary()


def release(model: Any) -> None:
    """Let go of programs around variables that the model's optimizer has no more, which they would keep in memory."""
    found = _KEPT.get(model)
    if found is not None and not found.is_of(model):
        del _KEPT[model]


class Kept:
    """What was compiled for one model since its last `compile`."""

    def __init__(self, model: Any) -> None:
        self._parts = [weakref.ref(part) for part in _parts(model)]
        self._found: dict[Any, Any] = {}

    def is_of(self, model: Any) -> bool:
        """Whether the model's optimizer, loss and metrics are still those; on TensorFlow its variables too."""
        parts = _parts(model)
        return len(parts) == len(self._parts) and all(ref() is one for ref, one in zip(self._parts, parts, strict=True))

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What was made for the key, or is made now."""
        if key not in self._found:
            self._found[key] = make()
        found: T = self._found[key]
        return found


def kept(model: Any) -> Kept:
    """What is kept for a model; nothing is of one in whose optimizer schedules are installed, for those are traced."""
    if any(installed(inner) for inner in inner_optimizers(model.optimizer)):
        return Kept(model)
    found = _KEPT.get(model)
    if found is None or not found.is_of(model):
        found = _KEPT[model] = Kept(model)
    return found


def layout(model: Any, *arrays: Any) -> Any:
    """What a compiled program depends on: the optimizer's settings, the variables, and the shapes of the data.

    As with Keras' own compiled step, what is changed in a layer afterwards is seen only when `compile` is called.
    """
    # Of the optimizers that do the work: Keras warns where a `MultiOptimizer` chooses them by a lambda.
    configs = [
        {name: value for name, value in inner.get_config().items() if name != "learning_rate"}
        for inner in inner_optimizers(model.optimizer)
    ]
    # A layer may have been frozen, and another of the same shape not; the optimizer's variables may be made anew.
    own = [tuple(map(id, variables)) for variables in (model.trainable_variables, model.non_trainable_variables)]
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    decay = [not_decayed(inner) for inner in inner_optimizers(model.optimizer)]
    return repr((configs, decay)), *own, keras.config.floatx(), shapes((variables, arrays))


def shapes(arrays: Any) -> Any:
    """Nested arrays as their shapes and dtypes, hashable."""
    flat = keras.tree.flatten(keras.tree.map_structure(_shape, arrays))
    return repr(keras.tree.map_structure(lambda leaf: leaf is None, arrays)), tuple(flat)


def _shape(array: Any) -> str:
    return "" if array is None else f"{array.dtype}{tuple(array.shape)}"


def _parts(model: Any) -> list[Any]:
    held = () if compilation.are_functions() else model.optimizer.variables
    return [part for part in (model.optimizer, *compiled_parts(model), *held) if part is not None]
