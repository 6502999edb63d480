"""What onecycle needs of Keras that Keras does not offer publicly, all of it in one room.

Checked on Keras 3.15.1. `tests/keras/test_keras_internals*.py` fail when one of these names changes its meaning.
"""

from __future__ import annotations

from typing import Any

import keras
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.backend.config import is_nnx_enabled


class _Carried:
    """What Keras takes for a seed generator: its state travels with a model's, but is no weight and is never saved."""

    def __init__(self, state: Any) -> None:
        self.state = state


def carry_variable(model: Any, variable: Any) -> None:
    """Carry one more non-trainable variable through the model's training steps, past its weights and its files."""
    model._seed_generators.append(_Carried(variable))


def drop_variable(model: Any, variable: Any) -> None:
    """Undo `carry_variable`."""
    generators = model._seed_generators
    generators[:] = [other for other in generators if other.state is not variable]


def keeps_what_is_assigned() -> bool:
    """Whether a stateless scope is open, in which alone JAX keeps what a traced step assigns to a variable."""
    return in_stateless_scope()


def compiled_parts(model: Any) -> tuple[Any, ...]:
    """What `compile` made and the first batch builds: the loss and the metrics (None where there are none)."""
    return (model._compile_loss, model._compile_metrics)


def recurrent_states(model: Any) -> list[Any]:
    """The variables in which layers with `stateful=True` keep what they saw last; no model counts them as its own."""
    layers = (layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN) and layer.stateful)
    return [state for layer in layers if layer.states is not None for state in keras.tree.flatten(layer.states)]


def metrics_of(model: Any) -> list[Any]:
    """Every metric of a compiled model, also those that wait in what `compile` was given for the first batch."""
    names = "_user_metrics", "_user_weighted_metrics", "metrics"
    inside = [getattr(model._compile_metrics, name, None) for name in names]
    found = [*model.metrics, *keras.tree.flatten(inside)]
    return list({id(metric): metric for metric in found if isinstance(metric, keras.metrics.Metric)}.values())


def trains_through_nnx() -> bool:
    """Whether Keras' layers are Flax modules, whose training is another."""
    return bool(is_nnx_enabled())


def updated_metrics(
    model: Any, metrics_variables: list[Any], loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
) -> list[Any]:
    """The metrics' variables after a training step on JAX, the mean of the losses among them."""
    _, updated = model._update_metrics_variables(metrics_variables, loss, x, y, y_pred, sample_weight)
    return list(updated)


def is_loss_tracker(model: Any, metric: Any) -> bool:
    """Whether a metric is the one in which every model keeps the mean of its losses."""
    return metric is model._loss_tracker
