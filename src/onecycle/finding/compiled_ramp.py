"""The range test as a compiled program over arrays in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.engine.batch_order import BatchPlan, RowOrder
from onecycle.engine.program_cache import cache_of, program_key
from onecycle.engine.program_steps import Data
from onecycle.engine.programs import Program, compile_training, reason_too_short
from onecycle.engine.row_reader import RowReader
from onecycle.engine.step_arguments import donated_state
from onecycle.engine.training_program import BlockArguments, ProgramSpec, StepInputs
from onecycle.engine.training_state import TrainingState
from onecycle.finding.ramp import Ramp, update_losses
from onecycle.keras_support import compilation, training_data
from onecycle.keras_support.optimizers import accumulators, step_counters, steps_per_update, velocities
from onecycle.keras_support.random_state import draw_before_reading
from onecycle.keras_support.train_function import build_symbolically
from onecycle.suggestions.divergence import DivergenceRule, StopReason

MAX_STEPS_PER_CALL, FIRST_STEPS_PER_CALL = 64, 8
# Ctrl-C takes effect only between two calls, and a diverged run is noticed only then.
MAX_SECONDS_PER_CALL = 0.5


@dataclass(frozen=True)
class CompiledRampRun:
    """A finished range test.

    Attributes:
        learning_rates: (n,) learning rate of each update, increasing.
        losses: (n,) true loss of each update, up to and including the one that ended the test.
        stop_reason: Why the test ended.
        steps_made: Number of training steps made, those after the end of the test included.
    """

    learning_rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    stop_reason: StopReason
    steps_made: int
    facts: None = None  # the arrays were checked before the test, and are shuffled

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the learning rates (n,), increasing, and the loss at each (n,)."""
        return self.learning_rates, self.losses


class CompiledRamp:
    """A range test in calls of one compiled program, each of which runs several steps.

    All runs start from the state that the model's variables hold, and leave the variables unchanged.

    Args:
        model: A compiled model for which `engine.eligibility.reason_not_compiled` returns None.
        ramp: The learning rates.
        data: (x, y, sample_weight), arrays as `fit` takes them.
        class_weight: Weights of the classes, as in `fit`, or None.
        batch_size: Rows per batch.

    Attributes:
        refusal: Why the test cannot run as a program, as the end of a sentence, or None.
    """

    def __init__(
        self, model: keras.Model, ramp: Ramp, data: Data, class_weight: Mapping[int, float] | None, batch_size: int
    ) -> None:
        self._ramp, self._learning_rates = ramp, ramp.values()
        self._plan = BatchPlan(training_data.count_rows(data), batch_size)
        self._reader = RowReader(data, class_weight, MAX_STEPS_PER_CALL * batch_size)
        build_symbolically(model, training_data.first_rows(self._reader.example, batch_size))
        self._start = _start_state(model)
        max_segments = -(-MAX_STEPS_PER_CALL // self._plan.steps_per_epoch) + 1
        self._spec = ProgramSpec(
            self._plan,
            max_steps=MAX_STEPS_PER_CALL,
            max_segments=max_segments,
            metrics=(),
            freeze_diverged=False,
            scheduled_momentum=False,
            donates=True,
        )
        # Not by the number of repeats: each of them equals a test of its own with its seed.
        self.refusal: str | None = reason_too_short(ramp.total_steps)
        if self.refusal is None:
            key = program_key(model, self._reader.example), self._spec
            self._program = cache_of(model).get(key, lambda: self._compile(model))
            self.refusal = self._program.refusal

    def run(self, after_read: Callable[[int, float], None]) -> CompiledRampRun:
        """Train to the end of the ramp or until the loss diverges, with row orders from NumPy's global generator.

        Args:
            after_read: Called with the number of steps and the last loss after each call of the program.
        """
        state, rule = donated_state(self._start), DivergenceRule()
        total_steps = len(self._learning_rates)
        # Drawn for all steps at once, since the number of steps of a call depends on the clock.
        rows = RowOrder(self._plan, None).take(total_steps)
        draw_before_reading()
        losses: list[float] = []
        update_means = np.empty(0)
        steps = FIRST_STEPS_PER_CALL
        while rule.stop_reason is None and len(losses) < total_steps:
            start_time, steps = time.perf_counter(), min(steps, total_steps - len(losses))
            state, step_losses, _ = self._program(*self._arguments(state, rows, len(losses), steps))
            new = np.asarray(step_losses)[:steps].tolist()
            losses += new
            judged, update_means = len(update_means), update_losses(losses, self._ramp.steps_per_update)
            rule.update(update_means[judged:])
            end = len(update_means) if rule.stopped_at is None else rule.stopped_at + 1
            if end:
                after_read(end * self._ramp.steps_per_update, float(update_means[end - 1]))
            # As many steps as fit into the time allowed, judged by this call.
            seconds = time.perf_counter() - start_time
            steps = min(MAX_STEPS_PER_CALL, max(1, int(steps * MAX_SECONDS_PER_CALL / seconds)))
        reason = rule.stop_reason or StopReason.COMPLETED
        return CompiledRampRun(self._ramp.update_rates(end), update_means[:end], reason, steps_made=len(losses))

    def _compile(self, model: keras.Model) -> Program:
        # The rows of one step, without a draw from a generator: the program is only compiled.
        rows = RowOrder(self._plan, None, shuffle=False).take(1)
        return compile_training(model, self._spec, self._arguments(self._start, rows, 0, 1))

    def _arguments(self, state: TrainingState, rows: NDArray[np.int32], first_step: int, steps: int) -> BlockArguments:
        """Return the arguments of the program for `steps` steps from `first_step` on."""
        # A program has a fixed shape, so a shorter block is padded with steps that it does not run.
        block, padding = slice(first_step, first_step + steps), MAX_STEPS_PER_CALL - steps
        data, chosen = self._reader.read(np.pad(rows[block], ((0, padding), (0, 0))))
        inputs = StepInputs(
            rows=chosen,
            learning_rates=np.pad(self._learning_rates[block].astype("float32"), (0, padding)),
            momenta=None,
        )
        segments = self._plan.segments(first_step, steps)
        columns = segments.padded(self._spec.max_segments)
        return state, data, inputs, columns, self._start.metrics, np.int32(len(segments))


def _start_state(model: keras.Model) -> TrainingState:
    """Return the model's state at the start of an update, with velocities of zero.

    The velocities of a higher rate would dominate the first steps.
    """
    state, optimizer = TrainingState.of(model), model.optimizer
    zero = {id(variable) for variable in (*velocities(optimizer), *accumulators(optimizer))}
    counters, length = {id(variable) for variable in step_counters(optimizer)}, steps_per_update(optimizer)

    def start_value(variable: keras.Variable, value: keras.KerasTensor) -> keras.KerasTensor:
        if id(variable) in zero:
            # By NumPy, because JAX would compile a program for each shape.
            return compilation.to_device(np.zeros(value.shape, keras.backend.standardize_dtype(value.dtype)))
        return value // length * length if id(variable) in counters and length > 1 else value

    pairs = zip(optimizer.variables, state.optimizer, strict=True)
    return state._replace(optimizer=[start_value(*pair) for pair in pairs])
