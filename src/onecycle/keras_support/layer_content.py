"""Plain values and containers that layers and the user's objects keep as attributes, such as counters and lists.

They can be restored while `fit` is running, unlike the attributes that Keras itself keeps. Private names of Keras,
checked on Keras 3.15.1: the attributes of a model in `OF_FIT`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import keras
import numpy as np

from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.foreign_state import is_module, keeps_attributes_elsewhere
from onecycle.keras_support.held_objects import contained, has_attributes, is_container, is_users_own
from onecycle.keras_support.object_content import ContentSnapshot

# Attributes of a model that a running `fit` needs.
OF_FIT = {
    *("history", "stop_training", "stop_evaluating", "stop_predicting", "train_function", "test_function"),
    *("predict_function", "_initial_epoch", "_eval_epoch_iterator", "_jax_state", "_jax_state_synced"),
    *("steps_per_execution", "run_eagerly", "training"),
}
PLAIN = (bool, int, float, complex, str, bytes, type(None), tuple, frozenset, np.ndarray, np.generic)


class LayerContent:
    """The plain values and the containers among the attributes of layers, of modules and of the user's objects.

    Args:
        held: What the model holds.
    """

    def __init__(self, held: Iterable[object]) -> None:
        owners = [one for one in held if _has_content(one)]
        self._owners = [(owner, own_attributes(owner)) for owner in owners]
        values = [value for _, attributes in self._owners for value in attributes.values()]
        containers = [one for one in contained(*filter(is_container, values)) if is_container(one)]
        self._containers = ContentSnapshot(containers)

    def restore(self) -> None:
        """Restore the values and the items of the containers."""
        for owner, before in self._owners:
            now = own_attributes(owner)
            unset_untracked(owner, *[name for name in now if name not in before and _is_plain(now[name])])
            # What became a layer or a variable meanwhile was created by the first batch, and stays.
            names = [name for name, value in before.items() if _is_content(value) and _is_content(now.get(name))]
            set_untracked(owner, **{name: before[name] for name in names})
        self._containers.restore()


def _has_content(value: object) -> bool:
    """Return whether a value is a built layer, a module or an object of the user's that is part of neither."""
    if isinstance(value, keras.layers.Layer):
        # Building changes attributes that must stay.
        return value.built
    if isinstance(value, (keras.metrics.Metric, keras.optimizers.Optimizer)) or keeps_attributes_elsewhere(value):
        return False
    if type(value).__module__.split(".")[0] == "keras":
        return False
    return has_attributes(value) and (is_users_own(value) or is_module(value))


def own_attributes(owner: object) -> dict[str, object]:
    """Return the attributes of an object without those that Keras gives every layer."""
    excluded = OF_FIT | _of_every_layer() if isinstance(owner, keras.layers.Layer) else OF_FIT
    items = vars(owner).items()
    return {name: value for name, value in items if name not in excluded and not name.startswith("_onecycle")}


@functools.cache
def _of_every_layer() -> set[str]:
    # The buffers of PyTorch belong to the layer itself.
    return set(vars(keras.layers.Layer(name="onecycle_plain"))) - {"_buffers"}


def _is_content(value: object) -> bool:
    return is_container(value) or _is_plain(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, PLAIN) or keras.ops.is_tensor(value)
