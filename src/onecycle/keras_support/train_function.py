"""A model's compiled training function: how it is rebuilt, and what it is built from.

Private names of Keras, checked on Keras 3.15.1: `Model._symbolic_build`, `Model._compile_metrics`,
`Model._compile_loss`, `Model._eval_epoch_iterator` and
`ArrayDataAdapter` of `keras.src.trainers.data_adapters`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import keras
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

from onecycle.keras_support import backends, step_state
from onecycle.keras_support.attributes import AttributeOverride, set_untracked, unset_untracked
from onecycle.keras_support.data_checks import no_batch_message
from onecycle.keras_support.model_state import is_overridden
from onecycle.keras_support.training_data import count_rows

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

# The methods of `keras.Model` that train, and those that report on training.
_TRAINING = ("fit", "make_train_function", "train_step", "compute_loss_and_updates", "_update_metrics_variables")
_REPORTING = ("compute_metrics", "get_metrics_result", "test_step")


def set_steps_per_execution(model: keras.Model, steps: int) -> None:
    """Set how many steps one call of the compiled functions runs.

    A test function that was compiled for another number is discarded: Keras would call it as often as the new number
    requires, and it would evaluate the wrong number of batches.
    """
    if model.steps_per_execution != steps:
        model.steps_per_execution = steps
        unset_untracked(model, "_eval_epoch_iterator")
        set_untracked(model, test_function=None)


def remake_train_function(model: keras.Model) -> None:
    """Make a compiled model trace its training step again. A model without a training function is left unchanged."""
    if getattr(model, "train_function", None) is None:
        return
    retrace_train_function(model, model.make_train_function)


def retrace_train_function(model: keras.Model, make: Callable[..., object]) -> None:
    """Make a training function that shares no trace with an earlier or a later one.

    JAX caches traces by the equality of functions, and two bound methods of one model are equal: jitting
    `model.train_step` again would return the old trace. So the step is passed on as a new function.

    Args:
        model: The model.
        make: Its `make_train_function`.
    """
    train_step = model.train_step

    def new_train_step(*args: object, **kwargs: object) -> object:
        return train_step(*args, **kwargs)

    override = AttributeOverride(model, train_step=new_train_step)
    try:
        try:
            override.apply()
            make(force=True)
        finally:
            override.undo()
    finally:
        override.undo()  # again, in case an interrupt has ended the first call


def first_call(model: keras.Model, train_function: Callable[..., Nested], *arguments: Nested) -> Nested:
    """Call a compiled training function for the first time in a `fit`, and return what it returns.

    Args:
        model: The model whose `fit` runs.
        train_function: The function.
        *arguments: Its arguments.

    Raises:
        ValueError: If the data has no batch, of which Keras says nothing on TensorFlow. On JAX it loses the weights.
    """
    try:
        return train_function(*arguments)
    except backends.end_of_data_errors() as error:
        # On JAX, the first argument is the state, which the variables do not have while `fit` runs.
        step_state.write_back_state(model, (None, arguments[0]))
        raise ValueError(no_batch_message("x")) from error


def overridden_method(model: keras.Model, *others: str, own_fit: bool = False) -> str | None:
    """Return the name of a method by which the model's training differs from that of `keras.Model`, or None.

    Args:
        model: The model.
        *others: Further methods that count as training.
        own_fit: Whether the model may have its own `fit`.
    """
    names = (*_TRAINING[own_fit:], *_REPORTING, *others)
    return next((name for name in names if is_overridden(model, name)), None)


def has_own_step(model: keras.Model) -> bool:
    """Return whether the model's training step, or the loss that it reports, may be other than that of `keras.Model`.

    What wraps the model's `make_train_function` while `fit` runs does not count.
    """
    own = type(model).make_train_function is not keras.Model.make_train_function
    names = [*_TRAINING[2:], *_REPORTING[:2]]
    return own or any(is_overridden(model, name) for name in names)


def training_arrays(x: Nested, y: Nested, sample_weight: Nested, class_weight: Mapping[int, float] | None) -> Nested:
    """Return (x, y, sample_weight) in full, prepared as `fit` prepares each batch.

    Args:
        x: Inputs, as arrays.
        y: Targets.
        sample_weight: Weights of the rows, or None.
        class_weight: Weights of the classes, which become part of `sample_weight`, or None.
    """
    rows = count_rows(x)
    # One batch with all rows.
    adapter = ArrayDataAdapter(x, y, sample_weight, batch_size=rows, class_weight=class_weight)
    batches = adapter.get_jax_iterator() if backends.is_functional() else adapter.get_numpy_iterator()
    return keras.utils.unpack_x_y_sample_weight(next(iter(batches)))


def build_symbolically(model: keras.Model, batch: Nested) -> None:
    """Build the loss, the metrics and the optimizer from the shapes of a batch (x, y, sample_weight), as `fit` does."""
    model._symbolic_build(data_batch=batch)


def has_unbuilt_parts(model: keras.Model) -> bool:
    """Return whether the loss or the metrics of a compiled model have no variables yet."""
    parts = (model._compile_metrics, model._compile_loss)
    return any(part is not None and not part.built for part in parts)
