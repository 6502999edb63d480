"""The outputs of a model and the gradients of its training loss for a batch, computed outside `fit`.

Private names of Keras, checked on Keras 3.15.1: `Model._compute_loss`, `Model._call_has_training_arg`, and
`Model.compute_loss_and_updates` (JAX).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import keras

from onecycle.keras_support import backends

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

Batch: TypeAlias = "tuple[Nested, Nested, Nested]"
# A gradient for each trainable variable, None where the loss does not depend on it.
Gradients: TypeAlias = "list[keras.KerasTensor | None]"
# The methods of a model whose training differs from what is computed here.
METHODS = ("fit", "make_train_function", "train_step", "compute_loss_and_updates")


def outputs_for(model: keras.Model, x: Nested) -> Nested:
    """Return what the model returns for inputs as `fit` gives them, outside training."""
    training = {"training": False} if model._call_has_training_arg else {}
    if backends.name() != "jax":
        return model(x, **training)
    import jax

    # As one program, since JAX would compile each operation by itself.
    def outputs(trainable: Nested, others: Nested, inputs: Nested) -> Nested:
        return model.stateless_call(trainable, others, inputs, **training)[0]

    return jax.jit(outputs, compiler_options=_quick_compilation())(
        _values(model.trainable_variables), _values(model.non_trainable_variables), x
    )


def gradient_function(model: keras.Model, *, often: bool = False) -> Callable[[Batch], Gradients]:
    """Return a function that computes the gradient of the training loss of a batch (x, y, sample_weight).

    The loss is scaled as the optimizer scales it, since small gradients would be 0 in half precision. It has to be
    called where everything is restored afterwards: states of the model move on, except on JAX.

    Args:
        model: A compiled model that has its weights and its loss, and computes its gradients as Keras does.
        often: Whether the function will be called often, so that tracing it on TensorFlow is worthwhile.
    """
    make = {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}[backends.name()]
    gradients = make(model)
    if not often or backends.name() != "tensorflow":
        return gradients
    import tensorflow as tf

    traced: Callable[[Batch], Gradients] = tf.function(gradients, reduce_retracing=True)
    return traced


def _loss(model: keras.Model, batch: Batch) -> keras.KerasTensor:
    x, y, sample_weight = batch
    y_pred = model(x, training=True) if model._call_has_training_arg else model(x)
    loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
    return model.optimizer.scale_loss(loss)


def _of_tensorflow(model: keras.Model) -> Callable[[Batch], Gradients]:
    import tensorflow as tf

    def gradients(batch: Batch) -> Gradients:
        with tf.GradientTape() as tape:
            loss = _loss(model, batch)
        found = tape.gradient(loss, _values(model.trainable_variables))
        return [None if one is None else tf.convert_to_tensor(one) for one in found]  # those of embeddings are sparse

    return gradients


def _of_torch(model: keras.Model) -> Callable[[Batch], Gradients]:
    def gradients(batch: Batch) -> Gradients:
        model.zero_grad()
        loss = _loss(model, batch)
        if loss.requires_grad:
            loss.backward()
        return [variable.value.grad for variable in model.trainable_variables]

    return gradients


def _of_jax(model: keras.Model) -> Callable[[Batch], Gradients]:
    import jax

    def loss(trainable: Nested, others: Nested, metrics: Nested, optimizer: Nested, batch: Batch) -> Nested:
        result = model.compute_loss_and_updates(
            trainable, others, metrics, *batch, training=True, optimizer_variables=optimizer
        )
        return result[0]

    compiled = jax.jit(jax.grad(loss), compiler_options=_quick_compilation())

    def gradients(batch: Batch) -> Gradients:
        state = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)
        found: Gradients = compiled(*map(_values, (*state, model.optimizer.variables)), batch)
        return found

    return gradients


def _quick_compilation() -> dict[str, bool | int] | None:
    """Return options of XLA for a program that runs a few times: on a CPU, compilation takes a third of the time."""
    import jax

    if jax.default_backend() != "cpu":
        return None
    return {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _values(variables: Sequence[keras.Variable]) -> list[Nested]:
    return [variable.value for variable in variables]
