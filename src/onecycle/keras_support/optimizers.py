"""Optimizers: those inside other optimizers, their step counters and settings.

Private names of Keras, checked on Keras 3.15.1: `Optimizer._iterations`, `_learning_rate`, `_variables`,
`_get_current_learning_rate`, `_accumulated_gradients`, `_trainable_variables`, `_exclude_from_weight_decay`,
`_exclude_from_weight_decay_pattern`, `_get_variable_index`; `RMSprop._momentums`; `MultiOptimizer._optimizer_map`.
"""

from __future__ import annotations

import math

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.keras_support import backends, devices
from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.held_objects import held_objects

_LOST_STEPS = "_onecycle_lost_steps"
_EXCLUDED = "_exclude_from_weight_decay"


def inner_optimizers(optimizer: keras.optimizers.Optimizer) -> tuple[keras.optimizers.Optimizer, ...]:
    """Return the optimizers that update variables: those inside a wrapper, or the given one if it is no wrapper.

    Wrappers are `LossScaleOptimizer` and `MultiOptimizer`.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return inner_optimizers(optimizer.inner_optimizer)
    if is_multi_optimizer(optimizer):
        return tuple(optimizer.optimizers)
    return (optimizer,)


def stepping_optimizers(optimizer: keras.optimizers.Optimizer) -> tuple[keras.optimizers.Optimizer, ...]:
    """Return the optimizers whose `apply` counts steps: those that update variables, and a `MultiOptimizer` last."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return stepping_optimizers(optimizer.inner_optimizer)
    return (*inner_optimizers(optimizer), optimizer) if is_multi_optimizer(optimizer) else (optimizer,)


def held_optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Return every optimizer that a model holds, that of `compile` first: attributes of it or of what it holds.

    A model that trains with several optimizers in its own `train_step`, such as a GAN, holds them as attributes, in
    lists or in dicts. A wrapper stands for the optimizers inside it.
    """
    found = [one for one in held_objects(model.optimizer, model) if isinstance(one, keras.optimizers.Optimizer)]
    inside = {id(held) for one in found for held in [*held_objects(one), *inner_optimizers(one)] if held is not one}
    return [one for one in found if id(one) not in inside]


def all_optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Return a model's optimizers and all inside them, also those that a `MultiOptimizer` selects when it is built."""
    found: list[keras.optimizers.Optimizer] = []
    for optimizer in held_optimizers(model):
        found += [optimizer, *inner_optimizers(optimizer)]
        if is_multi_optimizer(optimizer) and not optimizer.built:
            found += [optimizer._optimizer_map(variable) for variable in model.trainable_variables]
    return list({id(one): one for one in found}.values())


def is_multi_optimizer(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether the optimizer is a `MultiOptimizer` (new in Keras 3.15), which has others update variables."""
    multi = getattr(keras.optimizers, "MultiOptimizer", None)
    return multi is not None and isinstance(optimizer, multi)


def raw_step(optimizer: keras.optimizers.Optimizer) -> int:
    """Return the number of steps that the optimizer has counted: micro-batches under gradient accumulation."""
    return int(backends.to_numpy(step_counter(optimizer)))


def step_counter(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Return the variable that Keras passes to learning-rate schedules."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return step_counter(optimizer.inner_optimizer)
    # The counter of a MultiOptimizer counts every step. An optimizer inside it that has no variables never counts.
    return optimizer._iterations


def elapsed_steps(optimizer: keras.optimizers.Optimizer) -> int:
    """Return the number of steps that the optimizer has made, those included whose updates were undone."""
    return raw_step(optimizer) + lost_steps(optimizer)


def lost_steps(optimizer: keras.optimizers.Optimizer) -> int:
    """Return by how many steps the step counter was set back in the running `fit`."""
    return int(vars(optimizer).get(_LOST_STEPS, 0))


def set_lost_steps(optimizer: keras.optimizers.Optimizer, steps: int) -> None:
    """Set by how many steps the step counter was set back; 0 when the `fit` has ended."""
    if steps:
        set_untracked(optimizer, **{_LOST_STEPS: steps})
    else:
        unset_untracked(optimizer, _LOST_STEPS)


def shared_dtype(optimizer: keras.optimizers.Optimizer) -> str | None:
    """Return the dtype of the weights that a built optimizer updates, or None if they differ."""
    dtypes = {variable.dtype for variable in optimizer._trainable_variables} if optimizer.built else set()
    return dtypes.pop() if len(dtypes) == 1 else None


def steps_per_update(optimizer: keras.optimizers.Optimizer) -> int:
    """Return how many steps of the counter make one update of the weights: 1 without gradient accumulation."""
    return math.lcm(*(inner.gradient_accumulation_steps or 1 for inner in inner_optimizers(optimizer)))


def accumulators(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables that sum the gradients of an update that is not complete."""
    inners = [inner for inner in inner_optimizers(optimizer) if inner.gradient_accumulation_steps]
    return [variable for inner in inners for variable in inner._accumulated_gradients]


def step_counters(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the step counters of the optimizer and of those inside it."""
    counters = [step_counter(optimizer), *map(step_counter, inner_optimizers(optimizer))]
    return list({id(counter): counter for counter in counters}.values())


def learning_rate_setting(optimizer: keras.optimizers.Optimizer) -> keras.Variable | LearningRateSchedule:
    """Return the learning rate that the optimizer was built with: a variable, a schedule or another callable."""
    return optimizer._learning_rate


def unscheduled_learning_rate(optimizer: keras.optimizers.Optimizer) -> keras.Variable | keras.KerasTensor:
    """Return the learning rate as Keras resolves it, without a schedule that onecycle has installed."""
    # The method of the class, since `ScheduledSteps` replaces that of the instance.
    return type(optimizer)._get_current_learning_rate(optimizer)


def trained_weights(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the weights that a built optimizer, and those inside it, update; none before it is built."""
    return [weight for inner in inner_optimizers(optimizer) for weight in inner._trainable_variables]


def updated_weight(optimizer: keras.optimizers.Optimizer, variable: object) -> keras.Variable:
    """Return the weight that a variable of a training step is: on TensorFlow, Keras passes on the variable inside it.

    Args:
        optimizer: A built optimizer.
        variable: A variable that it updates.
    """
    return optimizer._trainable_variables[optimizer._get_variable_index(variable)]


def velocities(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables of SGD and RMSprop that sum past steps, scaled by the learning rates of those steps."""
    found: list[keras.Variable] = []
    for inner in inner_optimizers(optimizer):
        # The moments of Adam and its relatives are sums of gradients, without the learning rate.
        if isinstance(inner, keras.optimizers.SGD):
            found += inner.momentums
        elif isinstance(inner, keras.optimizers.RMSprop):
            found += inner._momentums
    return found


def scale_velocities(optimizer: keras.optimizers.Optimizer, factor: float) -> None:
    """Multiply `velocities`, so that the old steps do not outweigh the new ones after the rate has become lower.

    Args:
        optimizer: The optimizer.
        factor: The learning rate from now on, relative to that of the steps so far.
    """
    for variable in velocities(optimizer):
        variable.assign(keras.ops.cast(keras.ops.multiply(variable, factor), variable.dtype))


def weight_decay_exclusions(optimizer: keras.optimizers.Optimizer) -> list[str]:
    """Return the variables that `exclude_from_weight_decay` named, and the pattern of their names, as text."""
    # Keras sets these attributes only in `exclude_from_weight_decay`.
    excluded = vars(optimizer).get("_exclude_from_weight_decay", ())
    return sorted(map(str, (*excluded, vars(optimizer).get("_exclude_from_weight_decay_pattern"))))


def add_optimizer_variable(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> None:
    """Add a variable to the optimizer's, the only ones that its steps on JAX can use."""
    # The methods of the built-in list bypass the tracking of Keras' list.
    list.append(inner_optimizers(optimizer)[0]._variables, variable)


def remove_optimizer_variable(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> None:
    """Undo `add_optimizer_variable`."""
    variables = inner_optimizers(optimizer)[0]._variables
    list.__setitem__(variables, slice(None), [other for other in variables if other is not variable])


def skip_ema_overwrite_once(optimizer: keras.optimizers.Optimizer) -> None:
    """Keep the running `fit` from overwriting the weights with the moving averages of `use_ema` when it ends."""

    def finalize_variable_values(var_list: list[keras.Variable]) -> None:
        # Removes itself, so that the next `fit` calls the original method.
        unset_untracked(optimizer, "finalize_variable_values")

    set_untracked(optimizer, finalize_variable_values=finalize_variable_values)


def build_multi_optimizer(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> None:
    """Build a `MultiOptimizer`, which may select its optimizers only then; leave any other optimizer unbuilt."""
    if is_multi_optimizer(optimizer):
        build_optimizer(optimizer, model)


def build_optimizer(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> None:
    """Build an optimizer for the model's trainable variables, unless it is built."""
    if not optimizer.built:
        with devices.strategy_scope(model):
            optimizer.build(model.trainable_variables)


def skips_updates(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether the optimizer may skip the update of a batch, so that its step counter lags behind."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def loss_scale(optimizer: keras.optimizers.Optimizer) -> float | None:
    """Return the current scale of a `LossScaleOptimizer`, which changes with each skipped update; None if it has none.

    An optimizer that is not built has its initial scale.
    """
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return None
    return float(backends.to_numpy(optimizer.dynamic_scale)) if optimizer.built else float(optimizer.initial_scale)


def optimizer_names(optimizer: keras.optimizers.Optimizer) -> str:
    """Return the class names of the optimizers that do the work, separated by spaces."""
    return " ".join(type(inner).__name__ for inner in inner_optimizers(optimizer))


def fresh_copy(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return an optimizer with the settings of another, that has made no step.

    Raises:
        ValueError: For an optimizer that cannot be made from its configuration.
    """
    try:
        copied = type(optimizer).from_config(optimizer.get_config())
    except Exception as error:
        raise ValueError(
            f"The optimizer {type(optimizer).__name__} cannot be copied: `from_config(get_config())` raised "
            f"{type(error).__name__}: {error}"
        ) from error
    for inner, other in zip(inner_optimizers(optimizer), inner_optimizers(copied), strict=True):
        excluded = {name: value for name, value in vars(inner).items() if name.startswith(_EXCLUDED)}
        if excluded:
            set_untracked(other, **excluded, _exclude_from_weight_decay_cache={})
    return copied
