"""The members' hyperparameters in calls of `fit`, installed so that few training steps have to be traced."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.engine.member_schedules import default_momentum, schedule_values, shift_schedule
from onecycle.engine.members import Hyperparameter, Member
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support import backends, devices
from onecycle.keras_support.optimizers import add_optimizer_variable, raw_step, remove_optimizer_variable
from onecycle.keras_support.train_function import retrace_train_function


class FitSchedules:
    """Installs the hyperparameters of one member after another in a model's optimizer.

    The learning rates are a table in a variable, so that the next member needs no new trace. The momentum is part of
    the trace: a member with another momentum needs a new one.

    Args:
        model: A compiled model with a built optimizer.
        members: All members to be trained.
        steps: Number of training steps of each member, or None if it is unknown.
    """

    def __init__(self, model: keras.Model, members: Sequence[Member], steps: int | None) -> None:
        self._model, self._steps = model, steps
        self._start_step = raw_step(model.optimizer)
        self._default_momentum = default_momentum(model.optimizer, members)
        # A constant learning rate is a table with one row. A schedule of unknown length has no table.
        rows = steps if any(callable(member.learning_rate) for member in members) else 1
        self._table = None if rows is None else _RateTable(model, self._start_step, rows)
        self._traced_momenta: NDArray[np.float32] | None = None

    def install(self, member: Member) -> None:
        """Have the next `fit` use the member's learning rate and momentum."""
        learning_rate = self._learning_rate(member)
        momentum = self._default_momentum if member.momentum is None else member.momentum
        momenta = np.empty(0, "float32") if momentum is None else schedule_values(momentum, self._steps or 1)
        # The first values alone do not identify a schedule of unknown length.
        comparable = self._table is not None and not (callable(momentum) and self._steps is None)
        if comparable and self._traced_momenta is not None and np.array_equal(self._traced_momenta, momenta):
            return
        shifted = None if momentum is None else shift_schedule(momentum, self._start_step)
        schedule_hyperparameters(self._model, learning_rate=learning_rate, momentum=shifted)
        # Without this JAX would use the trace of an earlier call, with that call's momentum.
        retrace_train_function(self._model, self._model.make_train_function)
        self._traced_momenta = momenta

    def close(self) -> None:
        """Remove the table from the optimizer's state."""
        if self._table is not None and backends.is_functional():
            remove_optimizer_variable(self._model.optimizer, self._table.variable)

    def _learning_rate(self, member: Member) -> Hyperparameter:
        if self._table is None:
            return shift_schedule(member.learning_rate, self._start_step)
        self._table.fill(schedule_values(member.learning_rate, self._table.rows))
        return self._table


class _RateTable(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose values can be replaced after the training step was traced."""

    def __init__(self, model: keras.Model, start_step: int, rows: int) -> None:
        self.rows, self._start_step = rows, start_step
        self._values = np.zeros(rows, "float32")
        with devices.strategy_scope(model):
            self.variable = keras.Variable(self._values, trainable=False, autocast=False, name="onecycle_rates")
        if backends.is_functional():
            # A training step of JAX sees only variables of the model and the optimizer.
            add_optimizer_variable(model.optimizer, self.variable)

    def fill(self, values: NDArray[np.float32]) -> None:
        """Replace all values."""
        self._values = values
        self.variable.assign(values)

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        row = ops.clip(ops.convert_to_tensor(step) - self._start_step, 0, self.rows - 1)
        return ops.take(self.variable, row)

    def value_at(self, step: int) -> float:
        """Return the value at one step, computed on the host."""
        return float(self._values[min(max(step - self._start_step, 0), self.rows - 1)])
