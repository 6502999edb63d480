"""Evaluation as a compiled program: a loop over the batches of the validation data."""

from __future__ import annotations

import time
from typing import TypeAlias
from weakref import ref

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.engine.batch_order import BatchPlan
from onecycle.engine.pace import Pace
from onecycle.engine.program_steps import Data, take_batch, training_steps, written_variables
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import compilation

# The arguments of an `EvaluationProgram`: state, data, initial metrics.
EvaluationArguments: TypeAlias = tuple[TrainingState, Data, list[keras.KerasTensor]]
_Number: TypeAlias = "np.int32 | keras.KerasTensor"


class EvaluationProgram:
    """A compiled pass over the validation data that computes what `evaluate` computes.

    Args:
        model: A compiled model.
        plan: The division of the validation data into batches.
        metrics: Names of the metrics to return.
        members: Number of members that one call evaluates, or None for a single member without an axis of members.
        arguments: Arguments with the shapes of later calls.

    Attributes:
        compile_seconds: Seconds spent on tracing and compiling.
        variables: The variables of optimizer and metrics that the program writes to.
    """

    def __init__(
        self,
        model: keras.Model,
        plan: BatchPlan,
        metrics: tuple[str, ...],
        members: int | None,
        arguments: EvaluationArguments,
    ) -> None:
        self._model, self._plan, self._metrics = ref(model), plan, metrics
        began = time.perf_counter()
        mapped_axes = None if members is None else (0, None, None, None, None)
        batches = np.int32(0), np.int32(plan.steps_per_epoch)
        self._run = compilation.compile_traced(compilation.trace(self._evaluate, (*arguments, *batches), mapped_axes))
        self.variables = written_variables(model)
        self.compile_seconds = time.perf_counter() - began

    def __call__(
        self, state: TrainingState, data: Data, initial_metrics: list[keras.KerasTensor]
    ) -> tuple[TrainingState, NDArray[np.float32]]:
        """Evaluate a state, with calls that are short.

        Args:
            state: State to evaluate.
            data: All validation data.
            initial_metrics: Values of the metrics' variables before the first batch.

        Returns:
            The state with its training metrics unchanged; (metrics,) the values of the metrics.
        """
        # Training and evaluation use the same variables for their metrics: those of training are put back at the end.
        before, batches, first, pace = state.metrics, self._plan.steps_per_epoch, 0, Pace()
        while first < batches:
            stop = min(first + pace.steps, batches)
            began = time.perf_counter()
            evaluated, values = self._run(state, data, initial_metrics, np.int32(first), np.int32(stop))
            state, values = TrainingState(*evaluated), np.asarray(values)  # once it is computed
            pace.record(stop - first, time.perf_counter() - began)
            first = stop
        return state._replace(metrics=before), values

    def _evaluate(
        self, state: TrainingState, data: Data, initial_metrics: list[keras.KerasTensor], first: _Number, stop: _Number
    ) -> tuple[TrainingState, keras.KerasTensor]:
        """Evaluate the batches from `first` up to `stop`."""
        plan, steps = self._plan, training_steps(self._model())

        def test_step(at: int | keras.KerasTensor, carried: TrainingState, batch_size: int) -> TrainingState:
            rows = at * plan.batch_size + ops.arange(batch_size, dtype="int32")
            return steps.test_step(carried, take_batch(data, rows))

        carried = steps.assign_metrics(steps.begin(state), initial_metrics, ops.equal(first, 0))
        if plan.full_batches:
            # Cast, because Keras' minimum of whole numbers is a floating-point number in bfloat16.
            last = ops.cast(ops.minimum(stop, plan.full_batches), "int32")
            carried = ops.fori_loop(first, last, lambda at, carried: test_step(at, carried, plan.batch_size), carried)
        if plan.remainder:
            carried = ops.cond(
                stop > plan.full_batches,
                lambda: test_step(plan.full_batches, carried, plan.remainder),
                lambda: carried,
            )
        values = steps.metric_values(carried, self._metrics)
        return steps.finish(carried), values
