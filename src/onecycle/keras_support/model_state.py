"""The state of a compiled model that Keras keeps under private names.

Checked on Keras 3.15.1: `Model._flatten_layers`, `_seed_generators`, `_compile_loss`, `_compile_metrics` with its
`_user_metrics` and `_user_weighted_metrics`, `_loss_tracker`, `_update_metrics_variables` (JAX), and
`in_stateless_scope` of `keras.src.backend.common.stateless_scope`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras.src.backend.common.stateless_scope import in_stateless_scope as in_stateless_scope

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


def compiled_metrics(model: keras.Model) -> list[keras.metrics.Metric]:
    """Return every metric of a compiled model, also those that Keras does not list before the first batch."""
    # Several of these lists may hold the same metric.
    names = "_user_metrics", "_user_weighted_metrics", "metrics"
    arguments = [getattr(model._compile_metrics, name, None) for name in names]
    found = [*model.metrics, *keras.tree.flatten(arguments)]
    return list({id(metric): metric for metric in found if isinstance(metric, keras.metrics.Metric)}.values())


def recurrent_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of the recurrent layers with `stateful=True`, which no model lists among its variables."""
    layers = (layer for layer in flattened_layers(model) if isinstance(layer, keras.layers.RNN) and layer.stateful)
    return [state for layer in layers if layer.states is not None for state in keras.tree.flatten(layer.states)]


def updated_metrics(
    model: keras.Model,
    metrics_variables: Sequence[keras.KerasTensor],
    loss: keras.KerasTensor,
    x: Nested,
    y: Nested,
    y_pred: Nested,
    sample_weight: Nested,
) -> list[keras.KerasTensor]:
    """Return the values of the metrics' variables after a training step on JAX, the mean loss included.

    Args:
        model: The model.
        metrics_variables: Their values before the step.
        loss: The loss of the batch.
        x: Inputs of the batch.
        y: Targets of the batch.
        y_pred: Predictions for the batch.
        sample_weight: Weights of the batch's rows, or None.
    """
    _, updated = model._update_metrics_variables(metrics_variables, loss, x, y, y_pred, sample_weight)
    return list(updated)


def is_loss_tracker(model: keras.Model, metric: keras.metrics.Metric) -> bool:
    """Return whether a metric is the one in which the model keeps the mean of its losses."""
    return metric is model._loss_tracker
