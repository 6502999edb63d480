"""Everything that a model or data holds: through attributes, containers, and the attributes of what it holds.

Private names of Keras, checked on Keras 3.15.1: `Tracker` of `keras.src.utils.tracking`, which records what a layer
tracks.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import TypeAlias

import keras
import numpy as np
from keras.src.utils.tracking import Tracker

from onecycle.keras_support import backends, foreign_state

MutableContainer: TypeAlias = list[object] | dict[object, object] | set[object] | deque[object]

_CONTAINERS = (list, dict, set, deque)
_IMMUTABLE = (str, bytes, int, float, complex, bool, type(None), type, ModuleType, FunctionType, MethodType)
# A longer container is not searched if it begins with such a value: it is a vocabulary or a record of numbers.
_MAX_SEARCHED = 100
# The classes of Keras whose objects may have state, or hold objects that do.
_WITH_ATTRIBUTES = (
    *(keras.layers.Layer, keras.losses.Loss, keras.metrics.Metric, keras.optimizers.Optimizer),
    *(keras.random.SeedGenerator, keras.initializers.Initializer, keras.regularizers.Regularizer),
    *(keras.constraints.Constraint, keras.optimizers.schedules.LearningRateSchedule, Tracker),
)


def held_objects(*owners: object, follow: Callable[[object], bool] | None = None) -> list[object]:
    """Return every object that the owners hold, each once and the owners first.

    Followed are containers and the attributes of layers, losses, metrics and optimizers, of modules of the backend, and
    of objects whose class is the user's own. The attributes of other libraries' objects are not followed. Numbers,
    strings and functions are left out.

    Args:
        *owners: Where to begin.
        follow: Whether the attributes of an object are followed; `has_attributes` by default.
    """
    found: dict[int, object] = {}
    waiting = list(reversed(owners))
    while waiting:
        one = waiting.pop()
        if isinstance(one, _IMMUTABLE) or id(one) in found:
            continue
        found[id(one)] = one
        waiting += reversed(list(_directly_held(one, follow or has_attributes)))
    return list(found.values())


def contained(*values: object) -> list[object]:
    """Return every object inside the values that is reached through containers alone, the values included."""
    return held_objects(*values, follow=lambda one: False)


def is_container(value: object) -> bool:
    """Return whether a value is a container whose items can be replaced."""
    return isinstance(value, _CONTAINERS) and not backends.is_tracked_list(value)


def has_attributes(value: object) -> bool:
    """Return whether a value is an object of a model whose attributes are followed."""
    if isinstance(value, _WITH_ATTRIBUTES) or backends.is_tracked_list(value):
        return True
    if isinstance(value, (*_CONTAINERS, tuple, frozenset, np.ndarray, np.generic, keras.Variable, keras.KerasTensor)):
        return False
    if isinstance(value, (keras.callbacks.Callback, keras.utils.PyDataset)):
        return False  # not state of the model, though it may hold one
    return foreign_state.is_module(value) or is_users_own(value)


def is_users_own(value: object) -> bool:
    """Return whether a value is an object with attributes whose class is the user's own."""
    if not hasattr(value, "__dict__") or keras.ops.is_tensor(value):
        return False
    return isinstance(value, SimpleNamespace) or _is_users_module(type(value).__module__)


def _directly_held(value: object, follow: Callable[[object], bool]) -> Iterator[object]:
    if follow(value):
        yield from vars(value).values()
        yield from foreign_state.tensors_of_module(value)
    elif isinstance(value, (*_CONTAINERS, tuple, frozenset)):
        items = value.values() if isinstance(value, dict) else value
        if len(value) <= _MAX_SEARCHED or not isinstance(next(iter(items)), _IMMUTABLE):
            yield from list(items)


@functools.cache
def _is_users_module(name: str) -> bool:
    """Return whether a module belongs neither to the standard library nor to an installed package."""
    package = name.split(".")[0]
    if package == "onecycle" or (package in sys.stdlib_module_names and package != "__main__"):
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is None or not {"site-packages", "dist-packages"} & set(Path(file).parts)
