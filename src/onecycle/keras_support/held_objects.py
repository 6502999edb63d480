"""Everything that a model holds: through attributes, containers, and the attributes of what it holds.

Private names of Keras, checked on Keras 3.15.1: `Tracker` of `keras.src.utils.tracking`, which records what a layer
tracks.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Iterator
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
# The classes of Keras whose objects may have state of their own, or hold objects that do.
_WITH_ATTRIBUTES = (
    *(keras.layers.Layer, keras.losses.Loss, keras.metrics.Metric, keras.optimizers.Optimizer),
    *(keras.random.SeedGenerator, keras.initializers.Initializer, keras.regularizers.Regularizer),
    *(keras.constraints.Constraint, keras.optimizers.schedules.LearningRateSchedule, Tracker),
)


def held_objects(*owners: object) -> list[object]:
    """Return every object that the owners hold, each once and the owners first.

    Followed are containers and the attributes of layers, losses, metrics and optimizers, of modules of the backend, and
    of objects whose class is the user's own. The attributes of other libraries' objects are not followed. Numbers,
    strings and functions are left out.
    """
    found: dict[int, object] = {}
    waiting = list(reversed(owners))
    while waiting:
        one = waiting.pop()
        if isinstance(one, _IMMUTABLE) or id(one) in found:
            continue
        found[id(one)] = one
        waiting += reversed(list(_directly_held(one)))
    return list(found.values())


def is_container(value: object) -> bool:
    """Return whether a value is a container whose items can be replaced."""
    return isinstance(value, _CONTAINERS) and not backends.is_tracked_list(value)


def has_attributes(value: object) -> bool:
    """Return whether a value is an object whose attributes are followed."""
    if isinstance(value, _WITH_ATTRIBUTES) or backends.is_tracked_list(value):
        return True
    if isinstance(value, (*_CONTAINERS, tuple, frozenset, np.ndarray, np.generic, keras.Variable, keras.KerasTensor)):
        return False
    if isinstance(value, (keras.callbacks.Callback, keras.utils.PyDataset)):
        return False  # not state of the model, though it may hold one
    if not hasattr(value, "__dict__"):
        return False
    return isinstance(value, SimpleNamespace) or foreign_state.is_module(value) or _is_users_own(type(value).__module__)


def _directly_held(value: object) -> Iterator[object]:
    if has_attributes(value):
        yield from vars(value).values()
        yield from foreign_state.tensors_of_module(value)
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (*_CONTAINERS, tuple, frozenset)):
        yield from value


@functools.cache
def _is_users_own(module: str) -> bool:
    """Return whether a module belongs neither to the standard library nor to an installed package."""
    package = module.split(".")[0]
    if package in sys.stdlib_module_names and package != "__main__":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or not {"site-packages", "dist-packages"} & set(Path(file).parts)
