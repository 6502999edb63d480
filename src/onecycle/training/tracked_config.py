"""The optimizer's configuration as experiment trackers log it when a training with a cycle begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from onecycle.hyperparameters.optimizer_traits import momentum_attributes
from onecycle.keras_support.attributes import AttributeOverride
from onecycle.keras_support.optimizers import inner_optimizers
from onecycle.keras_support.running_fit import called_by_keras, is_fitting
from onecycle.schedules.description import describe_schedule
from onecycle.training.cycle_spec import CycleSchedules


class TrackedConfig:
    """Lets `optimizer.get_config()` describe the cycle while training begins, for MLflow, Comet and others.

    In `on_train_begin` their callbacks log this configuration as the parameters of the training. Its numbers would be
    those that the cycle replaces. Keras itself, which saves and copies optimizers, always gets these numbers.

    Args:
        model: The model whose `fit` has just begun.
        describe: Returns the entries to add or to replace. Called only if the configuration is read.
    """

    def __init__(self, model: keras.Model, describe: Callable[[], Mapping[str, object]]) -> None:
        self._model, self._describe = model, describe
        # `set_model` is also called outside of `fit`, and for models that are not compiled.
        self._closed = not is_fitting(model) or getattr(model, "optimizer", None) is None
        if not self._closed:
            self._original: Callable[[], dict[str, Any]] = model.optimizer.get_config
            self._override = AttributeOverride(model.optimizer, get_config=self._get_config)
            self._override.apply()

    def close(self) -> None:
        """Restore the method. A second call does nothing."""
        if not self._closed:
            # In this order, so that an interrupt loses nothing and a second call does the rest.
            self._override.undo()
            self._closed = True

    def _get_config(self) -> dict[str, Any]:
        # An exception may have ended the `fit` before its first epoch.
        if not is_fitting(self._model):
            self.close()
        config = self._original()
        return config if self._closed or called_by_keras() else {**config, **self._describe()}


def describe_hyperparameters(optimizer: keras.optimizers.Optimizer, schedules: CycleSchedules) -> dict[str, str]:
    """Return the schedules as text, by the names that the optimizer's configuration has for what they replace."""
    found = {"learning_rate": describe_schedule(schedules.learning_rate)}
    if schedules.momentum is not None:
        names = momentum_attributes(inner_optimizers(optimizer)[0])
        found |= dict.fromkeys(names, describe_schedule(schedules.momentum))
    return found
