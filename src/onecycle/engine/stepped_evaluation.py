"""Evaluation as a loop on the host over a compiled step, where a compiled loop does not exist or is slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import ref

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.engine.batch_order import BatchPlan
from onecycle.engine.evaluation_program import EvaluationArguments
from onecycle.engine.program_steps import Data, take_batch, training_steps
from onecycle.engine.step_arguments import CarriedState, Leaves, flat_state, nested_data, nested_state
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import compilation


class SteppedEvaluation:
    """A pass over the validation data, each of whose batches is a call of a compiled step.

    The arguments and attributes are those of an `EvaluationProgram` for a single member.
    """

    variables: tuple[keras.Variable, ...] = ()

    def __init__(
        self, model: keras.Model, plan: BatchPlan, metrics: tuple[str, ...], arguments: EvaluationArguments
    ) -> None:
        began = time.perf_counter()
        self._model, self._plan, self._metrics = ref(model), plan, metrics
        state, data, _ = arguments
        self._steps: dict[int, Callable[..., Leaves]] = {}
        for size in set(plan.batch_sizes(plan.steps_per_epoch).tolist()):
            example = CarriedState(state).leaves, _tensors(data), self._rows(0, size)
            make, _ = compilation.trace_step(_EvaluationStep(self._model, state, data), example)
            self._steps[size] = make()
        self.compile_seconds = time.perf_counter() - began

    def __call__(
        self, state: TrainingState, data: Data, initial_metrics: list[keras.KerasTensor]
    ) -> tuple[TrainingState, NDArray[np.float32]]:
        """Evaluate a state; the arguments and results are those of an `EvaluationProgram`."""
        steps, tensors = training_steps(self._model()), _tensors(data)
        carried = CarriedState(steps.assign_metrics(state, initial_metrics, True))
        for batch, size in enumerate(self._plan.batch_sizes(self._plan.steps_per_epoch).tolist()):
            carried.leaves = self._steps[size](carried.leaves, tensors, self._rows(batch, size))
        values = keras.ops.convert_to_numpy(steps.metric_values(carried.state, self._metrics))
        return carried.state._replace(metrics=state.metrics), np.asarray(values)

    def _rows(self, batch: int, size: int) -> keras.KerasTensor:
        first = batch * self._plan.batch_size
        return compilation.step_values(np.arange(first, first + size)[None])[0]


class _EvaluationStep:
    """The evaluation of one batch as a function of flat lists. It refers to the model weakly, as programs do."""

    def __init__(self, model: ref[keras.Model], state: TrainingState, data: Data) -> None:
        self._model, self._lengths = model, [len(group) for group in state[:4]]
        self._structure = keras.tree.map_structure(lambda leaf: None if leaf is None else 0, data)

    def __call__(self, leaves: Leaves, data: Leaves, rows: keras.KerasTensor) -> Leaves:
        batch = take_batch(nested_data(data, self._structure), rows)
        return flat_state(training_steps(self._model()).test_step(nested_state(leaves, self._lengths), batch))


def _tensors(data: Data) -> Leaves:
    return [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
