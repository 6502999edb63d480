"""Learning rate, momentum and weight decay as functions of the step, computed inside the compiled training step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias, TypeVar

import keras

from onecycle.hyperparameters.installation import (
    evaluate,
    install,
    installed_state,
    momentum_attributes,
    reinstate,
    uninstall,
)
from onecycle.keras_support import backends
from onecycle.keras_support.fit_scope import release
from onecycle.keras_support.optimizers import (
    inner_optimizers,
    is_multi_optimizer,
    learning_rate_setting,
    raw_step,
    require_compiled,
)
from onecycle.keras_support.train_function import remake_train_function

T = TypeVar("T")


Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


HyperparameterValue: TypeAlias = float | Schedule | None


def schedule_hyperparameters(
    model_or_optimizer: T,
    *,
    learning_rate: HyperparameterValue = None,
    momentum: HyperparameterValue = None,
    weight_decay: HyperparameterValue = None,
) -> T:
    """Let hyperparameters of an optimizer follow schedules, inside the compiled training step.

    Assigning `optimizer.momentum` from a callback does nothing on TensorFlow and JAX once the step is traced. Here the
    values are computed from the optimizer's step counter as part of the step itself: nothing runs per batch on the
    host, they are exact under `steps_per_execution` and `jit_compile`, and the optimizer gains no variable, so
    checkpoints of the plain and the scheduled optimizer load into each other and a model saved meanwhile is a plain
    Keras model with its original hyperparameters.

    A second call replaces what it names and keeps the rest. Adam, AdamW, Adamax (and Muon's Adam part) correct their
    bias with the product of the betas so far, not with the current `beta_1 ** t`, which is wrong under a changing
    beta; see `docs/design.md`.

    Args:
        model_or_optimizer: A compiled model, whose compiled functions are remade, or an optimizer that has made no
            step yet. `LossScaleOptimizer` is looked through. In a `MultiOptimizer` the learning rate is that of the
            inner optimizer with the largest rate, and the others keep their proportion to it.
        learning_rate: A number >= 0, a Keras schedule, or None for as it is.
        momentum: What the optimizer calls `momentum` (SGD, RMSprop, Muon) or `beta_1` (Adam, AdamW, Nadam, Adamax,
            Lamb, Lion; Muon too): a number in [0, 1), a schedule, or None.
        weight_decay: A number >= 0, a schedule, or None. Muon: both of its decays.

    Returns:
        What it was given.

    Raises:
        TypeError: If the first argument is neither a model nor an optimizer, or a value is no number or schedule.
        ValueError: If the model is not compiled, if the optimizer has no such hyperparameter, or if a bare optimizer
            has already made steps.

    Example:

    ```python
    cycle = onecycle.OneCycle(0.1, total_steps=1000)
    onecycle.schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum(high=0.95, low=0.85))
    model.fit(x, y, epochs=10)
    onecycle.unschedule_hyperparameters(model)
    ```
    """
    optimizer, model = _resolve(model_or_optimizer)
    requests = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    for name, value in requests.items():
        _check_value(name, value)
    plans = _plan(optimizer, requests)
    if model is None:
        _refuse_if_stepped(optimizer)
    before = [(inner, installed_state(inner)) for inner, _ in plans]
    try:
        for inner, plan in plans:
            install(inner, plan)
    except BaseException:  # a schedule that cannot be evaluated
        for inner, state in before:
            reinstate(inner, state)
        raise
    if model is not None:
        remake_train_function(model)
    return model_or_optimizer


def unschedule_hyperparameters(model_or_optimizer: T) -> T:
    """Take all schedules of `schedule_hyperparameters` out again; the optimizer is as it was before.

    Where nothing is installed nothing happens. Given a bare optimizer, functions that were compiled meanwhile keep
    what they traced: pass the model.

    Args:
        model_or_optimizer: A compiled model or an optimizer.

    Returns:
        What it was given.
    """
    optimizer, model = _resolve(model_or_optimizer)
    found = [uninstall(inner) for inner in inner_optimizers(optimizer)]
    if any(found) and model is not None:
        remake_train_function(model)
    return model_or_optimizer


def has_momentum(optimizer: Any) -> bool:
    """Whether every optimizer that does the work has a momentum (or beta_1) that a cycle can drive."""
    return all(_missing(inner, "momentum") is None for inner in inner_optimizers(optimizer))


def require_momentum(optimizer: Any) -> None:
    """Raise, naming what the optimizer lacks, unless it has a momentum that a cycle can drive."""
    for inner in inner_optimizers(optimizer):
        lack = _missing(inner, "momentum")
        if lack:
            raise ValueError(lack)


@dataclass(frozen=True)
class Scaled:
    """A hyperparameter in proportion to another: `factor` times `value`."""

    value: Any
    factor: float

    def __call__(self, step: Any) -> Any:
        return self.factor * self.value(step)

    def value_at(self, step: int) -> float:
        return self.factor * float(evaluate(self.value, step))


def _resolve(model_or_optimizer: Any) -> tuple[Any, Any]:
    """The optimizer and, where one was given, the model."""
    if isinstance(model_or_optimizer, keras.optimizers.Optimizer):
        return model_or_optimizer, None
    if not isinstance(model_or_optimizer, keras.Model):
        raise TypeError(
            "Argument `model_or_optimizer` must be a compiled keras.Model or a keras optimizer. "
            f"Received: model_or_optimizer={model_or_optimizer!r} of type {type(model_or_optimizer).__name__}"
        )
    require_compiled(model_or_optimizer)
    release(model_or_optimizer)
    return model_or_optimizer.optimizer, model_or_optimizer


def _check_value(name: str, value: Any) -> None:
    if value is None or isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"Argument `{name}` must be a number, a keras LearningRateSchedule or None. Received: {name}={value!r}"
        )
    upper = 1.0 if name == "momentum" else math.inf
    if not 0 <= float(value) < upper:
        limits = "in [0, 1)" if name == "momentum" else ">= 0 and finite"
        raise ValueError(f"Argument `{name}` must be {limits}. Received: {name}={value}")


def _plan(optimizer: Any, requests: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """What to install in which optimizer; everything that could go wrong goes wrong here, before a change."""
    requests = {name: value for name, value in requests.items() if value is not None}
    inners = inner_optimizers(optimizer)
    if not inners:
        raise ValueError(
            "This MultiOptimizer chooses its optimizers by a function when it is built, and is not built yet. "
            "Call `optimizer.build(model.trainable_variables)` first."
        )
    for inner in inners:
        for name in requests:
            lack = _missing(inner, name)
            if lack:
                raise ValueError(lack)
    if "learning_rate" not in requests or not is_multi_optimizer(optimizer):
        return [(inner, dict(requests)) for inner in inners]
    factors = _proportions(inners)
    rate = requests["learning_rate"]
    return [
        (inner, {**requests, "learning_rate": _scaled(rate, factor)})
        for inner, factor in zip(inners, factors, strict=True)
    ]


def _missing(optimizer: Any, name: str) -> str | None:
    """What the optimizer lacks to have that hyperparameter scheduled, as a sentence; None if nothing."""
    kind = type(optimizer).__name__
    if name != "momentum":
        return None
    attributes = momentum_attributes(optimizer)
    if not attributes:
        return (
            f"The optimizer {kind} has no `momentum` or `beta_1` that onecycle can schedule. "
            "Pass `momentum=None`, or use SGD, RMSprop, Adam, AdamW, Nadam, Adamax, Lamb, Lion or Muon."
        )
    if attributes == ("momentum",) and not optimizer.momentum:
        return (
            f"The optimizer {kind} was built with momentum=0.0 and so keeps no velocity that a momentum could act on. "
            f"Build it with one, for example keras.optimizers.{kind}(momentum=0.9), or pass `momentum=None`."
        )
    return None


def _proportions(optimizers: tuple[Any, ...]) -> list[float]:
    """Each inner learning rate relative to the largest."""
    rates = []
    for optimizer in optimizers:
        setting = learning_rate_setting(optimizer)
        if not hasattr(setting, "assign"):
            raise ValueError(
                "The learning rates of a MultiOptimizer can be scheduled in proportion only where each is a number. "
                f"Received: an inner {type(optimizer).__name__} with learning_rate={setting!r}. "
                "Schedule the inner optimizers one by one instead."
            )
        rates.append(float(backends.to_numpy(setting)))
    if max(rates) <= 0:
        raise ValueError("A MultiOptimizer whose learning rates are all 0 gives no proportion to keep.")
    return [rate / max(rates) for rate in rates]


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, Real):
        return float(value) * factor
    return value if factor == 1.0 else Scaled(value, factor)


def _refuse_if_stepped(optimizer: Any) -> None:
    steps = raw_step(optimizer)
    if steps > 0:
        raise ValueError(
            f"This optimizer has already made steps ({steps}), so a compiled function may hold its old values. "
            "Pass the model instead: `schedule_hyperparameters(model, ...)` has its functions remade."
        )
