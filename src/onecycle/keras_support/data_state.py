"""State of data that reading it changes: random generators, and what a data set of the user's own class keeps."""

from __future__ import annotations

import gc
from collections.abc import Callable

import keras
import numpy as np

from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.foreign_state import restoration_of, restoration_of_generator
from onecycle.keras_support.held_objects import contained, held_objects, is_container, is_users_own
from onecycle.keras_support.layer_content import PLAIN
from onecycle.keras_support.object_content import ContentSnapshot
from onecycle.keras_support.types import Nested

MAX_ARRAY_BYTES = 2**26  # Larger arrays are the rows themselves; an order of the rows is smaller.


class DataSnapshot:
    """The state of data: of the random generators that it holds, of layers, and of objects of the user's own classes.

    A `DataLoader` of PyTorch may hold a generator, as may its sampler and its data set. A `PyDataset` may also keep a
    counter or a shuffled order of its rows. What `tf.data` draws from cannot be read, and so not be restored.

    Args:
        data: The data, as `fit` takes it, also nested.
    """

    def __init__(self, data: Nested) -> None:
        held = held_objects(data, follow=is_followed)
        restorations = [restoration_of_generator(one) for one in held] + [_restoration_of_seeds(one) for one in held]
        self._objects = [(one, _plain(one)) for one in held if is_data_set(one)]
        values = [value for one, _ in self._objects for value in vars(one).values()]
        inside = contained(*values)
        small = [one for one in inside if isinstance(one, np.ndarray) and one.nbytes <= MAX_ARRAY_BYTES]
        restorations += [restoration_of(array) for array in small]
        self._restorations = [restore for restore in restorations if restore is not None]
        self._containers = ContentSnapshot(one for one in inside if is_container(one))

    def restore(self) -> None:
        """Restore the state."""
        if self._objects and backends.name() == "tensorflow":
            # A `fit` that stops within an epoch leaves its iterator in a reference cycle, and `tf.data` reads ahead
            # for as long as the iterator exists.
            gc.collect()
        for owner, before in self._objects:
            unset_untracked(owner, *[name for name in _plain(owner) if name not in before])
            set_untracked(owner, **before)
        self._containers.restore()
        for restore in self._restorations:
            restore()


def is_followed(value: object) -> bool:
    """Return whether the attributes of a value are state of the data."""
    # `DataLoader` and its samplers hold generators and the data set.
    is_loader = type(value).__module__.startswith("torch.utils.data") and hasattr(value, "__dict__")
    return is_loader or is_data_set(value)


def is_data_set(value: object) -> bool:
    """Return whether a value is an object of the user's, whose state belongs to the data."""
    if isinstance(value, (keras.layers.Layer, keras.callbacks.Callback)):
        return False  # a layer that preprocesses may be the model itself
    return isinstance(value, keras.utils.PyDataset) or is_users_own(value)


def _restoration_of_seeds(value: object) -> Callable[[], None] | None:
    """Return a function that restores the seed generators of a layer that prepares data, or None for anything else."""
    if isinstance(value, keras.random.SeedGenerator):
        states = [value.state]
    elif isinstance(value, keras.layers.Layer):
        weights = {id(variable) for variable in value.weights}
        states = [variable for variable in value.variables if id(variable) not in weights]
    else:
        return None
    saved = [(state, backends.to_numpy(state).copy()) for state in states]

    def restore() -> None:
        for state, number in saved:
            state.assign(number)

    return restore


def _plain(owner: object) -> dict[str, object]:
    return {name: value for name, value in vars(owner).items() if isinstance(value, PLAIN)}
