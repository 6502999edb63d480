"""What onecycle needs of Keras that Keras does not offer publicly, all of it in one room.

Checked on Keras 3.15.1. `tests/keras/test_keras_internals*.py` fail when one of these names changes its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_quietly, unset_quietly


def set_steps_per_execution(model: Any, steps: int) -> None:
    """Have a call of the compiled functions make so many steps.

    A test function compiled for another number would be called once for so many batches and see one of them.
    """
    if model.steps_per_execution != steps:
        model.steps_per_execution = steps
        unset_quietly(model, "_eval_epoch_iterator")
        set_quietly(model, test_function=None)


def remake_train_function(model: Any) -> None:
    """Have a compiled model trace its training step anew; one that has none yet is left alone.

    JAX caches traces by the equality of functions, and two bound methods of one model are equal: jitting
    `model.train_step` again would bring back the old trace. So the step is handed over as a new function.
    """
    if getattr(model, "train_function", None) is None:
        return
    make_train_function_anew(model, model.make_train_function)


def make_train_function_anew(model: Any, make: Callable[..., Any]) -> None:
    """Call the model's own `make_train_function` so that nothing traced before, or after, is taken for the same."""
    with _renewed(model, "train_step"):
        make(force=True)


@contextmanager
def _renewed(model: Any, name: str) -> Iterator[None]:
    """The named method as a function that compares equal to nothing else, for the length of the block."""
    missing = object()
    before = vars(model).get(name, missing)
    method: Callable[..., Any] = getattr(model, name)

    def renewed(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    set_quietly(model, **{name: renewed})
    try:
        yield
    finally:
        unset_quietly(model, name)
        if before is not missing:
            set_quietly(model, **{name: before})


_TRAINING = ("fit", "make_train_function", "train_step", "compute_loss_and_updates", "_update_metrics_variables")


_REPORTING = ("compute_metrics", "get_metrics_result", "test_step")


def method_of_ones_own(model: Any, *others: str) -> str | None:
    """The name of a method in which the model's training is not Keras' own, or None.

    Args:
        others: Further methods that must be Keras' own.
    """
    names = (*_TRAINING, *_REPORTING, *others)
    own = (name for name in names if name in vars(model) or _defined(type(model), name) != _defined(keras.Model, name))
    return next(own, None)


def _defined(kind: type, name: str) -> Any:
    return getattr(kind, name, None)


def training_arrays(x: Any, y: Any, sample_weight: Any, class_weight: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) whole, as `fit` would hand them to the step batch by batch."""
    rows = next(leaf for leaf in keras.tree.flatten(x) if leaf is not None).shape[0]
    adapter = ArrayDataAdapter(x, y, sample_weight, batch_size=rows, class_weight=class_weight)
    found = adapter.get_jax_iterator() if backends.carries_state() else adapter.get_numpy_iterator()
    return keras.utils.unpack_x_y_sample_weight(next(iter(found)))


def build_as_fit_does(model: Any, batch: Any) -> None:
    """Build the loss, the metrics and the optimizer, from a batch (x, y, sample_weight) that is not looked into."""
    model._symbolic_build(data_batch=batch)
