"""The hyperparameters that a training step used, as numbers on the host, whoever had set them."""

from __future__ import annotations

from typing import Any

import keras

from onecycle.hyperparameters.installation import evaluate, installed, momentum_attributes
from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import inner_optimizers, learning_rate_setting

Values = dict[str, float]


def values_at(optimizer: Any, step: int) -> Values:
    """Learning rate, momentum (or beta_1) and weight decay of the step with this number of the optimizer's counter.

    What follows a schedule is exact for any step; what is a plain number is as it now is. A momentum or a weight decay
    that the optimizer does not have is left out. Of the optimizers inside a `MultiOptimizer` the second and later ones'
    names end in _1, _2, and so on.
    """
    inners = inner_optimizers(optimizer)
    found: Values = {}
    for number, inner in enumerate(inners):
        ending = f"_{number}" if number else ""
        found |= {name + ending: value for name, value in _of_one(inner, step).items()}
    return found


def _of_one(optimizer: Any, step: int) -> Values:
    installation = installed(optimizer)
    plan = installation.plan if installation is not None else {}
    own = _own(optimizer, step)
    return {name: float(evaluate(plan[name], step)) if name in plan else own[name] for name in {**own, **plan}}


def _own(optimizer: Any, step: int) -> Values:
    found = {"learning_rate": _own_rate(optimizer, step)}
    attributes = momentum_attributes(optimizer)
    if attributes:
        found["momentum"] = float(getattr(optimizer, attributes[-1]))
    if optimizer.weight_decay:
        found["weight_decay"] = float(optimizer.weight_decay)
    return found


def _own_rate(optimizer: Any, step: int) -> float:
    setting = learning_rate_setting(optimizer)
    if hasattr(setting, "assign"):
        return float(backends.to_numpy(setting))
    if hasattr(setting, "get_config"):  # a schedule
        return float(evaluate(setting, step))
    return float(keras.ops.convert_to_numpy(setting()))
