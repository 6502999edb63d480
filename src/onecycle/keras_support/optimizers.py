"""What onecycle needs of Keras that Keras does not offer publicly, all of it in one room.

Checked on Keras 3.15.1. `tests/keras/test_keras_internals*.py` fail when one of these names changes its meaning.
"""

from __future__ import annotations

from typing import Any

import keras

from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_quietly, unset_quietly


def inner_optimizers(optimizer: Any) -> tuple[Any, ...]:
    """The optimizers that do the work: those inside a `LossScaleOptimizer` or `MultiOptimizer`, else the one given."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return inner_optimizers(optimizer.inner_optimizer)
    if is_multi_optimizer(optimizer):
        return tuple(optimizer.optimizers)
    return (optimizer,)


def all_optimizers(model: Any) -> list[Any]:
    """A model's optimizer and every one inside it, also those that a `MultiOptimizer` chooses when it is built."""
    optimizer = model.optimizer
    found = [optimizer, *inner_optimizers(optimizer)]
    if is_multi_optimizer(optimizer) and not optimizer.built:
        found += [optimizer._optimizer_map(variable) for variable in model.trainable_variables]
    return list({id(one): one for one in found}.values())


def is_multi_optimizer(optimizer: Any) -> bool:
    """Whether the optimizer hands variables to several others (`MultiOptimizer`, new in Keras 3.15)."""
    multi = getattr(keras.optimizers, "MultiOptimizer", None)
    return multi is not None and isinstance(optimizer, multi)


def raw_step(optimizer: Any) -> int:
    """Steps the optimizer has counted: its `_iterations`, micro-batches under gradient accumulation."""
    return int(backends.to_numpy(step_counter(optimizer)))


def step_counter(optimizer: Any) -> Any:
    """The variable that Keras hands to learning-rate schedules."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return step_counter(optimizer.inner_optimizer)
    return optimizer._iterations  # a MultiOptimizer's own: one inside it that has no variables never counts


def own_learning_rate(optimizer: Any) -> Any:
    """The optimizer's own learning rate as Keras resolves it, a schedule of ours left out."""
    return type(optimizer)._get_current_learning_rate(optimizer)


def velocities(optimizer: Any) -> list[Any]:
    """The variables that sum up past steps with the learning rates those had, as SGD and RMSprop keep them."""
    found: list[Any] = []
    for inner in inner_optimizers(optimizer):
        if isinstance(inner, keras.optimizers.SGD):
            found += inner.momentums
        elif isinstance(inner, keras.optimizers.RMSprop):
            found += inner._momentums
    return found


def learning_rate_setting(optimizer: Any) -> Any:
    """What the optimizer was built with: a variable, a schedule or another callable."""
    return optimizer._learning_rate


def carry_with_optimizer(optimizer: Any, variable: Any) -> None:
    """Let the optimizer's steps on JAX, which see no variables but the optimizer's, see one more."""
    list.append(inner_optimizers(optimizer)[0]._variables, variable)


def drop_from_optimizer(optimizer: Any, variable: Any) -> None:
    """Undo `carry_with_optimizer`."""
    variables = inner_optimizers(optimizer)[0]._variables
    list.__setitem__(variables, slice(None), [other for other in variables if other is not variable])


def not_decayed(optimizer: Any) -> list[str]:
    """The variables that an optimizer was told to leave out of its weight decay."""
    excluded = vars(optimizer).get("_exclude_from_weight_decay", ())
    return sorted(map(str, (*excluded, vars(optimizer).get("_exclude_from_weight_decay_pattern"))))


def skip_averages_once(optimizer: Any) -> None:
    """Keep the `fit` that an exception is ending from writing the moving averages of `use_ema` into the weights."""

    def finalize_variable_values(var_list: Any) -> None:
        unset_quietly(optimizer, "finalize_variable_values")

    set_quietly(optimizer, finalize_variable_values=finalize_variable_values)


def build_choosing(optimizer: Any, model: Any) -> None:
    """Build a `MultiOptimizer`, which may choose its optimizers only then; else Keras builds it in the first step."""
    if is_multi_optimizer(optimizer):
        build_optimizer(optimizer, model)


def build_optimizer(optimizer: Any, model: Any) -> None:
    """Build an optimizer that has not trained the model yet."""
    if not optimizer.built:
        with backends.placement(model):
            optimizer.build(model.trainable_variables)


def require_compiled(model: Any) -> None:
    """Raise a clear error for a model without an optimizer."""
    if not getattr(model, "compiled", False) or getattr(model, "optimizer", None) is None:
        raise ValueError(
            f"Argument `model` must be compiled with an optimizer. Received: model={model.name!r}, which is not. "
            "Call `model.compile(optimizer=..., loss=...)` first."
        )
