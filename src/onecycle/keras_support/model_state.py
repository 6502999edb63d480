"""The state of a compiled model that Keras keeps under private names.

Checked on Keras 3.15.1: `Model._flatten_layers`, `_seed_generators`, `_compile_loss`, `_compile_metrics`,
`_loss_tracker`, `_update_metrics_variables` (JAX), and `in_stateless_scope` of
`keras.src.backend.common.stateless_scope`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras.src.backend.common.stateless_scope import in_stateless_scope as in_stateless_scope

from onecycle.keras_support.foreign_state import is_stateful_handle
from onecycle.keras_support.held_objects import has_attributes, held_objects

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def flattened_layers(model: keras.Model, *, include_self: bool = True) -> list[keras.layers.Layer]:
    """Return all layers of a model, also those inside other layers and models.

    Args:
        model: The model.
        include_self: Whether the model itself comes first.
    """
    return list(model._flatten_layers(include_self=include_self))


def is_overridden(model: keras.Model, name: str) -> bool:
    """Return whether a method of a model is not that of `keras.Model`."""
    return name in vars(model) or getattr(type(model), name, None) != getattr(keras.Model, name, None)


def add_state_variable(model: keras.Model, variable: keras.Variable) -> None:
    """Add a variable to the state that training steps take and return, but not to the weights or to saved files."""
    model._seed_generators.append(_StateHolder(variable))


def remove_state_variable(model: keras.Model, variable: keras.Variable) -> None:
    """Undo `add_state_variable`."""
    generators = model._seed_generators
    generators[:] = [other for other in generators if other.state is not variable]


class _StateHolder:
    """An object that Keras treats as a seed generator, whose state is no weight and is never saved."""

    def __init__(self, state: keras.Variable) -> None:
        self.state = state


def loss_and_metrics(model: keras.Model) -> tuple[keras.layers.Layer | None, keras.metrics.Metric | None]:
    """Return the loss and the metrics that `compile` made and the first batch builds; None for those not given."""
    return (model._compile_loss, model._compile_metrics)


def has_unbuilt_metrics(model: keras.Model) -> bool:
    """Return whether the loss or the metrics that `compile` made are yet to be built by a first batch."""
    return any(part is not None and not part.built for part in loss_and_metrics(model))


def has_unlisted_state(model: keras.Model) -> bool:
    """Return whether layers hold variables or tables that the model does not list among its variables.

    Such are the states of recurrent layers with `stateful=True`, and variables of TensorFlow. A training step on JAX
    does not carry them.
    """
    listed = {id(one) for variable in model.variables for one in (variable, variable.value)}
    metrics_and_optimizers = (keras.metrics.Metric, keras.optimizers.Optimizer)
    held = held_objects(model, follow=lambda one: has_attributes(one) and not isinstance(one, metrics_and_optimizers))
    return any(isinstance(one, keras.Variable) or is_stateful_handle(one) for one in held if id(one) not in listed)


def updated_metrics(
    model: keras.Model,
    metrics_variables: Sequence[keras.KerasTensor],
    loss: keras.KerasTensor,
    x: Nested,
    y: Nested,
    y_pred: Nested,
    sample_weight: Nested,
) -> list[keras.KerasTensor]:
    """Return the values of the metrics' variables after a step, the mean loss included (JAX and PyTorch).

    Args:
        model: The model.
        metrics_variables: Their values before the step.
        loss: The loss of the batch.
        x: Inputs of the batch.
        y: Targets of the batch.
        y_pred: Predictions for the batch.
        sample_weight: Weights of the batch's rows, or None.
    """
    mapping = list(zip(model.metrics_variables, metrics_variables, strict=True))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        rows = next(leaf for leaf in keras.tree.flatten(x) if leaf is not None).shape[0]
        model._loss_tracker.update_state(loss, sample_weight=rows)
        model.compute_metrics(x, y, y_pred, sample_weight)
    return [scope.get_current_value(variable) for variable in model.metrics_variables]


def is_loss_tracker(model: keras.Model, metric: keras.metrics.Metric) -> bool:
    """Return whether a metric is the one in which the model keeps the mean of its losses."""
    return metric is model._loss_tracker


def fixed_batch_size(model: keras.Model) -> int | None:
    """Return the number of rows that each batch must have, as with stateful recurrent layers; None if it may vary."""
    sizes = [tensor.shape[0] for tensor in keras.tree.flatten(getattr(model, "inputs", None) or [])]
    return next((size for size in sizes if size is not None), None)
