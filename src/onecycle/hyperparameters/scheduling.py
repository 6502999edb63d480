"""Learning rate, momentum, weight decay and the rates of layers, computed inside the compiled training step."""

from __future__ import annotations

from typing import TypeVar

import keras

from onecycle.hyperparameters.installation import (
    InstalledState,
    count_batches_only,
    install,
    installed,
    uninstall,
)
from onecycle.hyperparameters.layer_rates import LayerRates, LayerRatesArgument, resolve_layer_rates
from onecycle.hyperparameters.plans import HyperparameterValue, checked_value, installation_plans
from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.interrupts import finish, undo_unless_finished
from onecycle.keras_support.model_checks import check_model, wrapper_advice
from onecycle.keras_support.optimizers import (
    inner_optimizers,
    is_multi_optimizer,
    stepping_optimizers,
    trained_weights,
)
from onecycle.keras_support.stale_functions import retrace_functions
from onecycle.keras_support.train_function import remake_train_function
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import described

T = TypeVar("T")


@suggest_names()
def schedule_hyperparameters(
    model_or_optimizer: T,
    *,
    learning_rate: HyperparameterValue = None,
    momentum: HyperparameterValue = None,
    weight_decay: HyperparameterValue = None,
    layer_rates: LayerRatesArgument | LayerRates = None,
    decay: float | None = None,
) -> T:
    """Make hyperparameters of an optimizer follow schedules, inside the compiled training step.

    Assigning `optimizer.momentum` from a callback does nothing on TensorFlow and JAX once the step is traced. Here the
    values are computed from the optimizer's step counter as part of the step itself. Nothing runs per batch on the
    host, and the values are exact under `steps_per_execution` and `jit_compile`. The optimizer gains no variable, so
    checkpoints of the plain and the scheduled optimizer load into each other, and a model that is saved while it is
    scheduled is a plain Keras model with its original hyperparameters.

    A second call replaces the hyperparameters it names and keeps the others.

    Args:
        model_or_optimizer: A compiled model, or an optimizer of a model or of your own training loop, such as one of
            the two of a GAN. Functions that were compiled with the optimizer are traced again at their next call:
            those of the model, of every model that holds the optimizer, and your own `tf.function` and `jax.jit` (but
            not what `get_concrete_function` or `lower(...).compile()` returned). In a `LossScaleOptimizer`, the inner
            optimizer is scheduled. In a `MultiOptimizer`, the schedule applies to the inner optimizer with the largest
            learning rate, and the others keep their proportion to it.
        learning_rate: A number >= 0 or a Keras schedule. None leaves it unchanged.
        momentum: A number in [0, 1) or a schedule for what the optimizer calls `momentum` (SGD, RMSprop, Muon) or
            `beta_1` (Adam, AdamW, Nadam, Adamax, Lamb, Lion; Muon too). None leaves it unchanged.
        weight_decay: A number >= 0 or a schedule, for both decays of Muon. None leaves it unchanged. An optimizer that
            was built without weight decay then has the decoupled one of Keras, as if it was built with it.
        layer_rates: Factors on the learning rate of layers, by layer, name, path or pattern such as `"encoder/*"`, or
            by a tuple of these, such as a group of `layer_groups`. A nested model stands for all its layers. Any other
            layer has factor 1. The layers train as by an optimizer whose learning rate is that many times as large:
            also the decoupled weight decay is. With factor 0 a layer keeps its weights. A weight that layers share has
            the factor of the one that is named. An empty mapping gives all layers factor 1 again.

            The path of a layer has the names on the way from the model: `"encoder/block_1/dense"`. A layer inside
            others may also be named by its own name, if it is the only one of that name. A pattern is compared with
            both. In it, `*` stands for any characters, `/` included, and `?` for one.

            Or `"decay"` for rates that fall from the head, which has factor 1, to the input: by `decay` from each
            layer to the one before it, as in the fine-tuning of transformers. The layers are those of `layer_groups`.
            None leaves the factors unchanged.
        decay: The ratio for `layer_rates="decay"`, above 0 and at most 1; 0.75 by default.

    Returns:
        `model_or_optimizer`.

    Raises:
        TypeError: If the first argument is neither a model nor an optimizer, or a value is neither a number nor a
            schedule, or `layer_rates` is no mapping of layers to numbers.
        ValueError: If the model is not compiled, or if the optimizer has no such hyperparameter. Also if `layer_rates`
            names a layer twice, one of another model, one without weights or none at all, and if a factor is not a
            number >= 0.

    Example:

    ```python
    cycle = onecycle.OneCycle(0.1, total_steps=1000)
    onecycle.schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum(high=0.95, low=0.85))
    model.fit(x, y, epochs=10)
    onecycle.unschedule_hyperparameters(model)
    ```

    References:
        J. Howard, S. Ruder, Universal language model fine-tuning for text classification (2018), arXiv:1801.06146,
        section 3.2: smaller rates towards the input.
        K. Clark et al., ELECTRA (2020), arXiv:2003.10555, appendix: layer-wise decay, where the head has factor 1.
    """
    optimizer, model = _resolve(model_or_optimizer)
    given = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    requests = {name: checked_value(name, value, optimizer) for name, value in given.items()}
    rates = resolve_layer_rates(model, layer_rates, decay, known=trained_weights(optimizer))
    plans = installation_plans(optimizer, requests, has_layer_rates=rates is not None)
    before, train_function = InstalledState(optimizer), getattr(model, "train_function", None)

    def run() -> None:
        for inner, plan in plans:
            install(inner, plan, rates)
        for one in filter(is_multi_optimizer, stepping_optimizers(optimizer)):
            count_batches_only(one)
        _retrace(optimizer, model)

    def undo() -> None:
        before.restore()
        if model is not None:
            model.train_function = train_function

    # Such as after an error in a user's schedule.
    undo_unless_finished(run, undo)
    return model_or_optimizer


def unschedule_hyperparameters(model_or_optimizer: T) -> T:
    """Remove all schedules and rates of layers, and restore the original hyperparameters.

    Without any, the call does nothing.

    Args:
        model_or_optimizer: A compiled model or an optimizer, as in `schedule_hyperparameters`. Compiled functions are
            traced again in the same way.

    Returns:
        `model_or_optimizer`.

    Raises:
        TypeError: If the argument is neither a model nor an optimizer.
        ValueError: If the model is not compiled.
    """
    optimizer, model = _resolve(model_or_optimizer)
    scheduled = any(installed(inner) for inner in inner_optimizers(optimizer))

    def run() -> None:
        for one in stepping_optimizers(optimizer):
            uninstall(one)
        if scheduled:
            _retrace(optimizer, model)

    finish(run)
    return model_or_optimizer


def install_layer_rates(model: keras.Model, layer_rates: LayerRates | None) -> None:
    """Give layers rates of their own; None leaves them, and the compiled functions, as they are."""
    if layer_rates is not None:
        schedule_hyperparameters(model, layer_rates=layer_rates)


def _resolve(model_or_optimizer: object) -> tuple[keras.optimizers.Optimizer, keras.Model | None]:
    """Return the optimizer and, if one was given, the model."""
    if isinstance(model_or_optimizer, keras.optimizers.Optimizer):
        return model_or_optimizer, None
    if not isinstance(model_or_optimizer, keras.Model):
        raise TypeError(
            "Argument `model_or_optimizer` must be a compiled keras.Model or a keras optimizer. "
            f"Received: model_or_optimizer={described(model_or_optimizer)}{wrapper_advice(model_or_optimizer)}"
        )
    check_model(model_or_optimizer)
    close_ended_fit(model_or_optimizer)
    return model_or_optimizer.optimizer, model_or_optimizer


def _retrace(optimizer: keras.optimizers.Optimizer, model: keras.Model | None) -> None:
    """Have compiled functions with the old hyperparameters traced again: of the model or of anyone."""
    if model is not None:
        remake_train_function(model)
        return
    for one in {id(one): one for one in (optimizer, *inner_optimizers(optimizer))}.values():
        retrace_functions(one)
