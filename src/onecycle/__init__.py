"""A learning-rate toolkit for Keras 3: find a learning rate, train with 1cycle.

import onecycle

result = onecycle.find_learning_rate(model, x, y)
onecycle.fit_one_cycle(model, x, y, epochs=10, max_learning_rate=result.learning_rate)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from onecycle.schedules.registration import register_with_keras as _register_with_keras

if TYPE_CHECKING:
    from onecycle import plot as plot
    from onecycle import results as results
    from onecycle import suggestions as suggestions
    from onecycle import tasks as tasks
    from onecycle.comparison import compare
    from onecycle.finding.batch_size_advice import advise_batch_size
    from onecycle.finding.callback import LearningRateFinder
    from onecycle.finding.checking import check
    from onecycle.finding.race import race_learning_rates
    from onecycle.finding.range_test import find_learning_rate
    from onecycle.hyperparameters.layer_order import layer_groups
    from onecycle.hyperparameters.logger import HyperparameterLogger
    from onecycle.hyperparameters.scheduling import schedule_hyperparameters, unschedule_hyperparameters
    from onecycle.results import load
    from onecycle.schedules import OneCycle
    from onecycle.schedules.cyclical import CyclicalLearningRate
    from onecycle.schedules.warmup import WarmupLinearDecay, WarmupStableDecay
    from onecycle.training.fine_tuning import fine_tune
    from onecycle.training.fitting import fit_one_cycle
    from onecycle.training.guard import DivergenceGuard
    from onecycle.training.scheduler import OneCycleScheduler

    __version__: str

__all__ = [
    "CyclicalLearningRate",
    "DivergenceGuard",
    "HyperparameterLogger",
    "LearningRateFinder",
    "OneCycle",
    "OneCycleScheduler",
    "WarmupLinearDecay",
    "WarmupStableDecay",
    "__version__",
    "advise_batch_size",
    "check",
    "compare",
    "find_learning_rate",
    "fine_tune",
    "fit_one_cycle",
    "layer_groups",
    "load",
    "race_learning_rates",
    "schedule_hyperparameters",
    "unschedule_hyperparameters",
]

# The module of each name. It is imported when one of its names is first used: keras alone takes seconds to import.
_MODULES = {
    "CyclicalLearningRate": "schedules",
    "DivergenceGuard": "training.guard",
    "HyperparameterLogger": "hyperparameters.logger",
    "LearningRateFinder": "finding.callback",
    "OneCycle": "schedules",
    "OneCycleScheduler": "training.scheduler",
    "WarmupLinearDecay": "schedules",
    "WarmupStableDecay": "schedules",
    "advise_batch_size": "finding.batch_size_advice",
    "check": "finding.checking",
    "compare": "comparison",
    "find_learning_rate": "finding.range_test",
    "fine_tune": "training.fine_tuning",
    "fit_one_cycle": "training.fitting",
    "layer_groups": "hyperparameters.layer_order",
    "load": "results",
    "race_learning_rates": "finding.race",
    "schedule_hyperparameters": "hyperparameters.scheduling",
    "unschedule_hyperparameters": "hyperparameters.scheduling",
}
_SUBPACKAGES = frozenset({"plot", "results", "suggestions", "tasks"})


_register_with_keras()  # so that saved models load, also where no schedule has been used


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version

        value = version(__name__)
    elif name in _MODULES:
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Stored in the module, so that this function is called once per name.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBPACKAGES})
