"""Training as a loop on the host over a compiled step, where a compiled loop does not exist or is slow.

PyTorch has no compiled loops, and on a CPU XLA computes convolutions inside a loop without its fast library.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from weakref import ref

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.engine.batch_order import SegmentColumns
from onecycle.engine.member_schedules import StepHyperparameters
from onecycle.engine.program_steps import Data, take_batch, training_steps
from onecycle.engine.step_arguments import CarriedState, Leaves, StepArguments, flat_state, nested_data, nested_state
from onecycle.engine.training_program import BlockArguments, ProgramSpec, StepInputs
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import backends, compilation

Step: TypeAlias = Callable[..., Leaves]


class SteppedProgram:
    """A block of training steps, each of which is a call of a compiled step.

    Args:
        model: A compiled model.
        spec: What to compile for, without an axis of members.
        arguments: Arguments with the shapes of later calls.

    Attributes:
        convolution_flops: Operations per step in convolutions that a compiled loop would make slow.
        refusal: Why the program cannot be used, as the end of a sentence, or None.
        compile_seconds: Seconds spent on tracing and compiling.
        variables: Empty, since the program changes no variables.
    """

    refusal: str | None = None
    variables: tuple[keras.Variable, ...] = ()

    def __init__(self, model: keras.Model, spec: ProgramSpec, arguments: BlockArguments) -> None:
        began = time.perf_counter()
        self._model, self._spec = ref(model), spec
        self._traced: dict[int, Callable[[], Step]] = {}
        self.convolution_flops = 0
        full = spec.plan.batch_size if spec.plan.full_batches else 0
        for size in filter(None, (full, spec.plan.remainder)):
            self._traced[size], flops = self._trace(model, size, arguments)
            self.convolution_flops = max(self.convolution_flops, flops)
        self.compile_seconds = time.perf_counter() - began

    def __call__(
        self,
        state: TrainingState,
        data: Data,
        inputs: StepInputs,
        segments: SegmentColumns,
        initial_metrics: list[keras.KerasTensor],
        segment_count: int | np.integer[Any],
    ) -> tuple[TrainingState, NDArray[np.float64], NDArray[np.float64]]:
        """Train for one block; the arguments and results are those of a `TrainingProgram`."""
        spec, calls = self._spec, StepArguments(data, inputs)
        steps, carried = training_steps(self._model()), CarriedState(state)
        losses: list[keras.KerasTensor] = []
        metrics = np.full((spec.max_segments, len(spec.metrics)), np.nan)
        for k in range(int(segment_count)):
            if spec.metrics and segments[3][k]:
                carried.put(steps.assign_metrics(carried.state, initial_metrics, True))
            for at, size in self._batches(k, segments):
                *carried.leaves, loss = self._steps[size](carried.leaves, *calls.at(at, size))
                losses.append(loss)
                # Where the loss is not known yet, the step itself leaves the state unchanged from then on.
                if spec.freeze_diverged and backends.runs_eagerly() and not math.isfinite(loss):
                    return carried.state, _padded(losses, spec.max_steps), metrics
            if spec.metrics:
                metrics[k] = keras.ops.convert_to_numpy(steps.metric_values(carried.state, spec.metrics))
        return carried.state, _padded(losses, spec.max_steps), metrics

    def compile(self) -> None:
        """Compile what was traced. Without this the program cannot be called."""
        began = time.perf_counter()
        self._steps = {size: make() for size, make in self._traced.items()}
        self._traced.clear()
        self.compile_seconds += time.perf_counter() - began

    def _batches(self, k: int, segments: SegmentColumns) -> Iterator[tuple[int, int]]:
        """Yield the step and the number of rows of each batch of a segment."""
        starts, stops, has_short_batch, _ = segments
        for at in range(int(starts[k]), int(stops[k])):
            yield at, self._spec.plan.batch_size
        if has_short_batch[k]:
            yield int(stops[k]), self._spec.plan.remainder

    def _trace(self, model: keras.Model, size: int, arguments: BlockArguments) -> tuple[Callable[[], Step], int]:
        state, data, inputs, *_ = arguments
        hyperparameters = StepHyperparameters(scheduled_momentum=self._spec.scheduled_momentum)
        step = _TrainingStep(ref(model), self._spec, hyperparameters, state, data)
        with hyperparameters.installed(model):
            given = (CarriedState(state).leaves, *StepArguments(data, inputs).at(0, size))
            return compilation.trace_step(step, given, donates=self._spec.donates)


class _TrainingStep:
    """One training step as a function of flat lists. It refers to the model weakly, as programs do.

    Args:
        model: The model.
        spec: The program's.
        hyperparameters: What the optimizer reads while the step is traced.
        state: A state with the structure of those that the step takes.
        data: The same for the data.
    """

    def __init__(
        self,
        model: ref[keras.Model],
        spec: ProgramSpec,
        hyperparameters: StepHyperparameters,
        state: TrainingState,
        data: Data,
    ) -> None:
        self._model, self._spec, self._hyperparameters = model, spec, hyperparameters
        self._lengths = [len(group) for group in state[:4]]
        self._missing = keras.tree.map_structure(lambda leaf: None if leaf is None else 0, data)

    def __call__(
        self,
        leaves: Leaves,
        data: Leaves,
        rows: keras.KerasTensor,
        learning_rate: keras.KerasTensor,
        *momentum: keras.KerasTensor,
    ) -> Leaves:
        self._hyperparameters.set(learning_rate, momentum[0] if momentum else None)
        state, loss = training_steps(self._model()).train_step(
            nested_state(leaves, self._lengths),
            take_batch(nested_data(data, self._missing), rows),
            update_metrics=bool(self._spec.metrics),
            freeze_diverged=self._spec.freeze_diverged and not backends.runs_eagerly(),
        )
        return [*flat_state(state), keras.ops.cast(loss, "float32")]


def _padded(losses: list[keras.KerasTensor], length: int) -> NDArray[np.float64]:
    """Return the losses as an array of this length, padded with NaN."""
    row = np.full(length, np.nan)
    row[: len(losses)] = [float(loss) for loss in losses]
    return row
