"""What a call of `schedule_hyperparameters` installs in which optimizer, and every refusal before that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TypeAlias

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.hyperparameters.evaluation import NumberOrSchedule, evaluate
from onecycle.hyperparameters.layer_steps import require_updates_by_weight
from onecycle.hyperparameters.optimizer_traits import require_momentum
from onecycle.hyperparameters.schedule_checks import check_schedule, sampled_steps
from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import (
    inner_optimizers,
    is_multi_optimizer,
    learning_rate_setting,
    raw_step,
)
from onecycle.suggestions.arguments import MAX_LEARNING_RATE, as_number, described

HyperparameterValue: TypeAlias = NumberOrSchedule | None


def checked_value(name: str, value: object, optimizer: keras.optimizers.Optimizer) -> HyperparameterValue:
    """Return a number or a schedule that a hyperparameter can follow; None for None.

    Args:
        name: Name of the hyperparameter.
        value: What the user gave.
        optimizer: The optimizer that will follow it.

    Raises:
        TypeError, ValueError: For anything else.
    """
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


def installation_plans(
    optimizer: keras.optimizers.Optimizer, requests: Mapping[str, HyperparameterValue], *, has_layer_rates: bool = False
) -> list[tuple[keras.optimizers.Optimizer, dict[str, NumberOrSchedule]]]:
    """Return what to install in which optimizer. Every refusal happens here, before anything is changed.

    Args:
        optimizer: The optimizer, perhaps with others inside it.
        requests: Name of a hyperparameter -> a number, a schedule or None.
        has_layer_rates: Whether layers will have rates of their own.
    """
    plan = {name: value for name, value in requests.items() if value is not None}
    inners = inner_optimizers(optimizer)
    # Scheduling no optimizer at all would silently do nothing.
    if not inners:
        raise ValueError(
            "This MultiOptimizer chooses its optimizers by a function when it is built, and is not built yet. "
            "Call `optimizer.build(model.trainable_variables)` first."
        )
    # Every Keras optimizer has a learning rate and a weight decay.
    if "momentum" in plan:
        require_momentum(optimizer)
    if has_layer_rates:
        for inner in inners:
            require_updates_by_weight(inner)
    if "learning_rate" not in plan or not is_multi_optimizer(optimizer):
        return [(inner, dict(plan)) for inner in inners]
    return [
        (inner, {**plan, "learning_rate": _scaled(plan["learning_rate"], factor)})
        for inner, factor in zip(inners, _proportions(inners), strict=True)
    ]


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
