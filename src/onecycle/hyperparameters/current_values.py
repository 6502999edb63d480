"""The hyperparameters that a training step used, as numbers on the host, whether or not they were scheduled."""

from __future__ import annotations

import keras

from onecycle.hyperparameters.evaluation import evaluate
from onecycle.hyperparameters.installation import installed
from onecycle.hyperparameters.layer_rates import LayerRates
from onecycle.hyperparameters.optimizer_traits import momentum_attributes
from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import inner_optimizers, learning_rate_setting


def values_at(optimizer: keras.optimizers.Optimizer, step: int) -> dict[str, float]:
    """Return the learning rate, momentum (or beta_1) and weight decay of a step.

    Args:
        optimizer: The model's optimizer.
        step: The step, by the optimizer's step counter. Schedules are exact at any step; of a plain number, the
            current value is returned.

    Returns:
        Name -> value. A momentum or weight decay that the optimizer does not have is left out. The names of the second
        and later optimizers inside a `MultiOptimizer` end in _1, _2, and so on.
    """
    found: dict[str, float] = {}
    for number, inner in enumerate(inner_optimizers(optimizer)):
        suffix = f"_{number}" if number else ""
        found |= {name + suffix: value for name, value in _values_of(inner, step).items()}
    return found


def layer_rates_in_effect(optimizer: keras.optimizers.Optimizer) -> LayerRates | None:
    """Return the rates of layers that are installed in an optimizer and those inside it, or None."""
    # They are the same in all of them.
    found = (installed(inner) for inner in inner_optimizers(optimizer))
    return next((one.layer_rates for one in found if one is not None and one.layer_rates is not None), None)


def _values_of(optimizer: keras.optimizers.Optimizer, step: int) -> dict[str, float]:
    installation = installed(optimizer)
    plan = installation.plan if installation is not None else {}
    # An installed schedule takes precedence over the number that the optimizer holds.
    return _unscheduled(optimizer, step) | {name: float(evaluate(value, step)) for name, value in plan.items()}


def _unscheduled(optimizer: keras.optimizers.Optimizer, step: int) -> dict[str, float]:
    found = {"learning_rate": _unscheduled_rate(optimizer, step)}
    attributes = momentum_attributes(optimizer)
    if attributes:
        # Muon has two attributes; the last one is the beta_1 of its Adam part.
        found["momentum"] = float(getattr(optimizer, attributes[-1]))
    if optimizer.weight_decay:
        found["weight_decay"] = float(optimizer.weight_decay)
    return found


def _unscheduled_rate(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    setting = learning_rate_setting(optimizer)
    if hasattr(setting, "assign"):  # a variable
        return float(backends.to_numpy(setting))
    if hasattr(setting, "get_config"):  # a schedule
        return float(evaluate(setting, step))
    return float(keras.ops.convert_to_numpy(setting()))
