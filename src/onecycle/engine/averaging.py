"""A moving average of the weights inside a compiled program: the one that `WeightAverage` keeps beside a `fit`."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.engine.training_state import TrainingState
from onecycle.keras_support.weight_average import AverageState, is_update, move_rate


def average_rates(total_steps: int, *, first: int, every: int) -> NDArray[np.float32]:
    """Return (total_steps,) the part of the way to the weights that the average moves after each step, 0 for no move.

    Args:
        total_steps: Number of steps of the training.
        first: The step from which the weights are averaged, counted from 1.
        every: Steps between two updates.
    """
    rates, last = np.zeros(total_steps, "float32"), None
    for step in range(max(1, first), total_steps + 1):
        if is_update(step - 1, step, every):
            rates[step - 1] = move_rate(step, last)
            last = step
    return rates


def with_average(state: TrainingState, average: AverageState) -> TrainingState:
    """Return a state with an average, or with zeros, which the first update replaces.

    Args:
        state: The state.
        average: What `WeightAverage.state` returned.
    """
    values = average[1] or [np.zeros(weight.shape, "float32") for weight in _averaged_values(state)]
    return state._replace(average=[ops.convert_to_tensor(value) for value in values])


def with_moved_average(state: TrainingState, rate: keras.KerasTensor) -> TrainingState:
    """Return the state after an update of its average, within a program.

    Args:
        state: The state after a step.
        rate: What `average_rates` returned for the step.
    """

    def moved() -> list[keras.KerasTensor]:
        pairs = zip(state.average, _averaged_values(state), strict=True)
        return [average + (ops.cast(weight, "float32") - average) * rate for average, weight in pairs]

    # All members move at the same steps, so that a program for several of them skips this too.
    return state._replace(average=ops.cond(rate > 0, moved, lambda: list(state.average)))


def with_averaged_weights(state: TrainingState) -> TrainingState:
    """Return a state whose weights are their average."""
    averages = iter(state.average)
    trainable, non_trainable = (
        [ops.cast(next(averages), value.dtype) if _is_averaged(value) else value for value in group]
        for group in (state.trainable, state.non_trainable)
    )
    return state._replace(trainable=trainable, non_trainable=non_trainable)


def _averaged_values(state: TrainingState) -> list[keras.KerasTensor]:
    return [value for value in (*state.trainable, *state.non_trainable) if _is_averaged(value)]


def _is_averaged(value: keras.KerasTensor) -> bool:
    """Return whether a value has a part in the average: counters and the states of random generators have none."""
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype)))
