"""Learning rate, momentum and weight decay as functions of the step, computed inside the compiled training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TypeAlias, TypeVar

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.hyperparameters.evaluation import NumberOrSchedule, evaluate
from onecycle.hyperparameters.installation import (
    InstalledState,
    count_batches_only,
    install,
    installed,
    uninstall,
)
from onecycle.hyperparameters.optimizer_traits import momentum_attributes
from onecycle.hyperparameters.schedule_checks import check_schedule, sampled_steps
from onecycle.keras_support import backends
from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.interrupts import finish, undo_unless_finished
from onecycle.keras_support.model_checks import check_model, wrapper_advice
from onecycle.keras_support.optimizers import (
    inner_optimizers,
    is_multi_optimizer,
    learning_rate_setting,
    raw_step,
    stepping_optimizers,
)
from onecycle.keras_support.stale_functions import retrace_functions
from onecycle.keras_support.train_function import remake_train_function
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import MAX_LEARNING_RATE, as_number, described

T = TypeVar("T")

HyperparameterValue: TypeAlias = NumberOrSchedule | None


@suggest_names()
def schedule_hyperparameters(
    model_or_optimizer: T,
    *,
    learning_rate: HyperparameterValue = None,
    momentum: HyperparameterValue = None,
    weight_decay: HyperparameterValue = None,
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

    Returns:
        `model_or_optimizer`.

    Raises:
        TypeError: If the first argument is neither a model nor an optimizer, or a value is neither a number nor a
            schedule.
        ValueError: If the model is not compiled, or if the optimizer has no such hyperparameter.

    Example:

    ```python
    cycle = onecycle.OneCycle(0.1, total_steps=1000)
    onecycle.schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum(high=0.95, low=0.85))
    model.fit(x, y, epochs=10)
    onecycle.unschedule_hyperparameters(model)
    ```
    """
    optimizer, model = _resolve(model_or_optimizer)
    given = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    requests = {name: _checked_value(name, value, optimizer) for name, value in given.items()}
    plans = _plans(optimizer, requests)
    before, train_function = InstalledState(optimizer), getattr(model, "train_function", None)

    def run() -> None:
        for inner, plan in plans:
            install(inner, plan)
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
    """Remove all schedules of `schedule_hyperparameters` and restore the original hyperparameters.

    Without schedules the call does nothing.

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


def has_momentum(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether the optimizer, and every one inside it, has a momentum (or beta_1) that can be scheduled."""
    return all(_reason_against(inner, "momentum") is None for inner in inner_optimizers(optimizer))


def require_momentum(optimizer: keras.optimizers.Optimizer) -> None:
    """Check that the optimizer, and every one inside it, has a momentum (or beta_1) that can be scheduled.

    Raises:
        ValueError: If it has none.
    """
    for inner in inner_optimizers(optimizer):
        _require(inner, "momentum")


class ScaledSchedule(LearningRateSchedule):
    """A schedule times a constant factor.

    It exists only while it is installed, so it is never saved.

    Args:
        schedule: The schedule.
        factor: The factor.
    """

    def __init__(self, schedule: LearningRateSchedule, factor: float) -> None:
        self.schedule = schedule
        self.factor = factor

    def __call__(self, step: keras.Variable | keras.KerasTensor) -> keras.KerasTensor:
        """Return the value at `step` as a tensor."""
        return self.factor * self.schedule(step)

    def value_at(self, step: int) -> float:
        """Return the value at one step, computed on the host."""
        return self.factor * float(evaluate(self.schedule, step))


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


def _checked_value(name: str, value: object, optimizer: keras.optimizers.Optimizer) -> HyperparameterValue:
    upper = 1.0 if name == "momentum" else MAX_LEARNING_RATE
    if value is None:
        return None
    if isinstance(value, LearningRateSchedule):
        check_schedule(name, value, sampled_steps(raw_step(optimizer), None), below=upper)
        return value
    number = as_number(value)
    if number is None:
        raise TypeError(
            f"Argument `{name}` must be a number, a keras LearningRateSchedule or None. "
            f"Received: {name}={described(value)}"
        )
    # Written so that NaN is refused as well.
    if not 0 <= number < upper:
        limits = "in [0, 1)" if name == "momentum" else ">= 0 and finite"
        raise ValueError(f"Argument `{name}` must be {limits}. Received: {name}={value}")
    return number


def _plans(
    optimizer: keras.optimizers.Optimizer, requests: Mapping[str, HyperparameterValue]
) -> list[tuple[keras.optimizers.Optimizer, dict[str, NumberOrSchedule]]]:
    """Return what to install in which optimizer. Every refusal happens here, before anything is changed."""
    plan = {name: value for name, value in requests.items() if value is not None}
    inners = inner_optimizers(optimizer)
    # Scheduling no optimizer at all would silently do nothing.
    if not inners:
        raise ValueError(
            "This MultiOptimizer chooses its optimizers by a function when it is built, and is not built yet. "
            "Call `optimizer.build(model.trainable_variables)` first."
        )
    for inner in inners:
        for name in plan:
            _require(inner, name)
    if "learning_rate" not in plan or not is_multi_optimizer(optimizer):
        return [(inner, dict(plan)) for inner in inners]
    return [
        (inner, {**plan, "learning_rate": _scaled(plan["learning_rate"], factor)})
        for inner, factor in zip(inners, _proportions(inners), strict=True)
    ]


def _require(optimizer: keras.optimizers.Optimizer, name: str) -> None:
    reason = _reason_against(optimizer, name)
    if reason:
        raise ValueError(reason)


def _reason_against(optimizer: keras.optimizers.Optimizer, name: str) -> str | None:
    """Return why the hyperparameter of that name cannot be scheduled, or None if it can."""
    kind = type(optimizer).__name__
    # Every Keras optimizer has a learning rate and a weight decay.
    if name != "momentum":
        return None
    attributes = momentum_attributes(optimizer)
    if not attributes:
        return (
            f"The optimizer {kind} has no `momentum` or `beta_1` that onecycle can schedule. "
            "Pass `momentum=None`, or use SGD, RMSprop, Adam, AdamW, Nadam, Adamax, Lamb, Lion or Muon."
        )
    # Such an optimizer makes no variables for the velocity when it is built.
    if attributes == ("momentum",) and not optimizer.momentum:
        return (
            f"The optimizer {kind} was built with momentum=0.0 and so has no velocity that a momentum could act on. "
            f"Build it with one, for example keras.optimizers.{kind}(momentum=0.9), or pass `momentum=None`."
        )
    return None


def _proportions(optimizers: Sequence[keras.optimizers.Optimizer]) -> list[float]:
    """Return each learning rate relative to the largest."""
    rates = []
    for optimizer in optimizers:
        setting = learning_rate_setting(optimizer)
        # A variable can be read now; a schedule has no single value to compare.
        if not hasattr(setting, "assign"):
            raise ValueError(
                "The learning rates of a MultiOptimizer can be scheduled in proportion only if each is a number. "
                f"Received: an inner {type(optimizer).__name__} with learning_rate={setting!r}. "
                "Schedule the inner optimizers one by one instead."
            )
        rates.append(float(backends.to_numpy(setting)))
    if max(rates) <= 0:
        raise ValueError("A MultiOptimizer whose learning rates are all 0 has no proportions to keep.")
    return [rate / max(rates) for rate in rates]


def _scaled(value: NumberOrSchedule, factor: float) -> NumberOrSchedule:
    if isinstance(value, Real):
        return float(value) * factor
    return value if factor == 1.0 else ScaledSchedule(value, factor)


def _retrace(optimizer: keras.optimizers.Optimizer, model: keras.Model | None) -> None:
    """Have compiled functions with the old hyperparameters traced again: of the model or of anyone."""
    if model is not None:
        remake_train_function(model)
        return
    for one in {id(one): one for one in (optimizer, *inner_optimizers(optimizer))}.values():
        retrace_functions(one)
