"""The Keras callbacks, for a person's own call of `fit`."""

from onecycle.callbacks.finder import LearningRateFinder
from onecycle.callbacks.logger import HyperparameterLogger
from onecycle.callbacks.scheduler import OneCycleScheduler

__all__ = ["HyperparameterLogger", "LearningRateFinder", "OneCycleScheduler"]
