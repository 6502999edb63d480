"""Training as a compiled program: loops over the steps of a block."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from weakref import ref

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.engine.averaging import with_moved_average
from onecycle.engine.batch_order import BatchPlan, SegmentColumns
from onecycle.engine.member_schedules import StepHyperparameters
from onecycle.engine.program_steps import (
    Data,
    TrainingSteps,
    take_batch,
    training_steps,
    written_variables,
)
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import compilation
from onecycle.keras_support.random_state import global_seed_generator

# Multiplications and additions per step: about a millisecond of convolutions inside a loop on a CPU.
MAX_CONVOLUTION_OPERATIONS = 4_000_000


class StepInputs(NamedTuple):
    """What differs between the steps of a block. For several members each leaf has a leading axis of members.

    Attributes:
        rows: (steps, batch_size) row numbers of each batch.
        learning_rates: (steps,) learning rate of each step.
        momenta: (steps,) momentum of each step, or None if it is not scheduled.
        average_rates: (steps,) see `averaging`, without an axis of members. None if no average is kept.
    """

    rows: NDArray[np.int32] | keras.KerasTensor
    learning_rates: NDArray[np.float32] | keras.KerasTensor
    momenta: NDArray[np.float32] | keras.KerasTensor | None
    average_rates: NDArray[np.float32] | keras.KerasTensor | None = None


# The arguments of a `TrainingProgram`: state, data, inputs, segments, initial metrics, number of segments.
BlockArguments: TypeAlias = tuple[
    TrainingState, Data, StepInputs, SegmentColumns, list[keras.KerasTensor], int | np.integer[Any]
]


@dataclass(frozen=True)
class ProgramSpec:
    """What a training program is compiled for, besides the model and the shapes of its data.

    Attributes:
        plan: The division of an epoch into batches.
        max_steps: Largest number of steps in a block.
        max_segments: Largest number of segments in a block.
        metrics: Names of the metrics to compute. May be empty.
        freeze_diverged: Whether a member stops changing after a loss that is not finite.
        scheduled_momentum: Whether the momentum is an input of each step.
        members: Number of members that one call trains, or None for a single member without an axis of members.
        averages: Whether the state has a moving average of the weights. Only loops inside a program keep one.
        donates: Whether a call takes over the memory of its state, which the caller must not use again (JAX). A large
            state is then not copied in each call.
    """

    plan: BatchPlan
    max_steps: int
    max_segments: int
    metrics: tuple[str, ...]
    freeze_diverged: bool
    scheduled_momentum: bool
    members: int | None = None
    averages: bool = False
    donates: bool = False


class TrainingProgram:
    """A compiled block of training steps.

    Args:
        model: A compiled model.
        spec: What to compile for.
        arguments: Arguments with the shapes of later calls.
        allow_slow: Whether to compile even if convolutions inside a loop are slow on this device.

    Attributes:
        refusal: Why the program was not compiled and cannot be called, as the end of a sentence, or None.
        compile_seconds: Seconds spent on tracing and compiling.
        variables: The variables of optimizer and metrics that the program writes to.
    """

    def __init__(
        self, model: keras.Model, spec: ProgramSpec, arguments: BlockArguments, *, allow_slow: bool = False
    ) -> None:
        began = time.perf_counter()
        hyperparameters = StepHyperparameters(scheduled_momentum=spec.scheduled_momentum)
        block = _TrainingBlock(ref(model), spec, hyperparameters)
        mapped_axes = None if spec.members is None else (0, None, StepInputs(0, 0, 0, None), None, None, None)
        with hyperparameters.installed(model):
            traced = compilation.trace(block, arguments, mapped_axes, donates=spec.donates)
        self.refusal = _refusal(traced, allow_slow)
        if self.refusal is None:
            self._run = compilation.compile_traced(traced)
        self.variables = written_variables(model)
        self.compile_seconds = time.perf_counter() - began

    def __call__(
        self,
        state: TrainingState,
        data: Data,
        inputs: StepInputs,
        segments: SegmentColumns,
        initial_metrics: list[keras.KerasTensor],
        segment_count: int | np.integer[Any],
    ) -> tuple[TrainingState, keras.KerasTensor, keras.KerasTensor]:
        """Train for one block.

        Args:
            state: State before the block.
            data: All training data.
            inputs: Inputs of the block's steps, padded to `max_steps`.
            segments: Segments of the block, padded to `max_segments`.
            initial_metrics: Values of the metrics' variables at the start of an epoch.
            segment_count: Number of segments without padding.

        Returns:
            The state after the block; (max_steps,) the losses, NaN for steps that were not made and for members that
            diverged before; (max_segments, metrics) the values of the metrics at the end of each segment.
        """
        state, losses, metrics = self._run(state, data, inputs, segments, initial_metrics, segment_count)
        return TrainingState(*state), losses, metrics


class _TrainingBlock:
    """The function that a `TrainingProgram` traces.

    It refers to the model weakly, because programs are cached for as long as the model lives.
    """

    def __init__(self, model: ref[keras.Model], spec: ProgramSpec, hyperparameters: StepHyperparameters) -> None:
        self._model, self._spec, self._hyperparameters = model, spec, hyperparameters

    def __call__(
        self,
        state: TrainingState,
        data: Data,
        inputs: StepInputs,
        segments: SegmentColumns,
        initial_metrics: list[keras.KerasTensor],
        segment_count: keras.KerasTensor,
    ) -> tuple[TrainingState, keras.KerasTensor, keras.KerasTensor]:
        steps = training_steps(self._model())
        loops = _BlockLoops(self._spec, steps, self._hyperparameters, data, inputs, segments, initial_metrics)
        return loops.run(state, segment_count)


_LossCarry: TypeAlias = tuple[TrainingState, keras.KerasTensor]  # state, losses
_SegmentCarry: TypeAlias = tuple[TrainingState, keras.KerasTensor, keras.KerasTensor]  # state, losses, metrics


@dataclass(frozen=True, eq=False)
class _BlockLoops:
    """The loops of one trace of a block: over segments, and inside over the batches of a segment."""

    spec: ProgramSpec
    steps: TrainingSteps
    hyperparameters: StepHyperparameters
    data: Data
    inputs: StepInputs
    segments: SegmentColumns
    initial_metrics: list[keras.KerasTensor]

    def run(self, state: TrainingState, segment_count: keras.KerasTensor) -> _SegmentCarry:
        """Train for the block and return its state, losses and metrics."""
        losses = ops.full((self.spec.max_steps,), float("nan"), "float32")
        metrics = ops.full((self.spec.max_segments, len(self.spec.metrics)), float("nan"), "float32")
        carry = self.steps.begin(state), losses, metrics
        # The number of segments is an input, so that a shorter block at the end of training needs no other program.
        state, losses, metrics = ops.fori_loop(0, segment_count, self._segment, carry)
        return self.steps.finish(state), losses, metrics

    def _segment(self, k: keras.KerasTensor, carry: _SegmentCarry) -> _SegmentCarry:
        state, losses, metrics = carry
        starts_epoch = self.segments[3]
        if self.spec.metrics:
            state = self.steps.assign_metrics(state, self.initial_metrics, starts_epoch[k])
        state, losses = self._batches(k, (state, losses))
        if self.spec.metrics:
            row = ops.reshape(self.steps.metric_values(state, self.spec.metrics), (1, -1))
            metrics = ops.slice_update(metrics, (k, 0), row)
        return state, losses, metrics

    def _batches(self, k: keras.KerasTensor, carry: _LossCarry) -> _LossCarry:
        """Train on the full batches of segment `k` and on the short one if there is one."""
        starts, stops, has_short_batch, _ = self.segments
        plan = self.spec.plan
        if plan.full_batches:
            carry = ops.fori_loop(starts[k], stops[k], lambda at, carry: self._step(at, carry, plan.batch_size), carry)
        if plan.remainder:
            # A batch of another size is another trace, so the short batch cannot be part of the loop.
            carry = ops.cond(has_short_batch[k], lambda: self._step(stops[k], carry, plan.remainder), lambda: carry)
        return carry

    def _step(self, at: keras.KerasTensor, carry: _LossCarry, batch_size: int) -> _LossCarry:
        state, losses = carry
        inputs = self.inputs
        momentum = None if inputs.momenta is None else inputs.momenta[at]
        # The optimizer reads these tensors while `train_step` is traced.
        self.hyperparameters.set(inputs.learning_rates[at], momentum)
        state, loss = self.steps.train_step(
            state,
            take_batch(self.data, inputs.rows[at, :batch_size]),
            update_metrics=bool(self.spec.metrics),
            freeze_diverged=self.spec.freeze_diverged,
        )
        if inputs.average_rates is not None:
            state = with_moved_average(state, inputs.average_rates[at])
        # In float32 whatever the precision of the model is, as the array of losses is.
        return state, ops.slice_update(losses, (at,), ops.reshape(ops.cast(loss, "float32"), (1,)))


def _refusal(traced: compilation.Traced, allow_slow: bool) -> str | None:
    """Return why a traced program must not be used, as the end of a sentence, or None."""
    generator = global_seed_generator()
    if compilation.uses_global_random_state(traced, generator and generator.state):
        return "a layer without its own seed draws from the global random numbers"
    operations = compilation.slow_convolution_flops(traced)
    if operations > MAX_CONVOLUTION_OPERATIONS and not allow_slow:
        return f"convolutions of {operations / 1e6:.3g} million operations a step are slow inside a loop on this CPU"
    return None
