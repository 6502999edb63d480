"""The compiled programs of one call of `train_members`, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

import keras

from onecycle.engine.batch_order import BatchPlan
from onecycle.engine.block_inputs import SINGLE_MEMBER, BlockInputs, MemberGroup, all_members
from onecycle.engine.choice import EngineChoice, EngineTrial, choose_engine, choose_fit, choose_requested
from onecycle.engine.evaluation_program import EvaluationProgram
from onecycle.engine.members import Array
from onecycle.engine.program_cache import cache_of, program_key
from onecycle.engine.program_steps import Data
from onecycle.engine.programs import Program, compile_training, reason_too_short
from onecycle.engine.stepped_evaluation import SteppedEvaluation
from onecycle.engine.stepped_program import SteppedProgram
from onecycle.engine.training_program import ProgramSpec
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import backends, compilation, training_data
from onecycle.keras_support.model_state import is_loss_tracker

MIN_TRIAL_SECONDS = 0.005  # a shorter trial is not accurate

P = TypeVar("P", Program, EvaluationProgram | SteppedEvaluation)


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Validation data on the device.

    Attributes:
        data: The arrays (x, y, sample_weight).
        plan: The division of a pass into batches.
    """

    data: Data
    plan: BatchPlan

    @classmethod
    def of(cls, data: Data, batch_size: int) -> ValidationSet:
        """Copy arrays to the device."""
        return cls(compilation.to_device(data), BatchPlan(training_data.count_rows(data), batch_size))


class MemberPrograms:
    """Training and evaluation programs, taken from the model's cache or compiled on first use.

    Args:
        model: A model whose metrics and optimizer are built.
        inputs: Makes the arguments of the training programs.
        data: Training and validation data, on whose shapes the programs depend.
        allow_slow: Whether to compile programs that are slow on this device.
        resumable: Whether the state after a call is that of a `fit` that is paused there, with a moving average of the
            weights. Then the programs compute the metrics even if there is only the loss.

    Attributes:
        metric_names: Names of the metrics with a single value, `loss` included.
        step_metrics: Names of the metrics that training programs compute. Empty if there is only the loss, whose mean
            is computed from the losses of the batches.
        compile_seconds: Seconds spent on compiling so far.
    """

    def __init__(
        self,
        model: keras.Model,
        inputs: BlockInputs,
        data: tuple[Data, Data | None],
        *,
        allow_slow: bool,
        resumable: bool = False,
    ) -> None:
        self._model, self._inputs, self._allow_slow, self._resumable = model, inputs, allow_slow, resumable
        self._cache, self._key = cache_of(model), program_key(model, *data)
        self.metric_names = _single_valued_metrics(model)
        only_loss = all(is_loss_tracker(model, metric) for metric in model.metrics)
        self.step_metrics = () if only_loss and not resumable else self.metric_names
        self.compile_seconds = 0.0

    def training(self, group: MemberGroup) -> Program:
        """Return the program that trains a group."""
        inputs = self._inputs
        spec = ProgramSpec(
            inputs.plan,
            max_steps=inputs.steps_per_block,
            max_segments=inputs.epochs_per_block,
            metrics=self.step_metrics,
            freeze_diverged=True,
            scheduled_momentum=inputs.scheduled_momentum,
            members=group.axis_length,
            averages=self._resumable,
        )

        def make() -> Program:
            arguments = inputs.first_block(group, inputs.steps_per_block)
            return compile_training(self._model, spec, arguments, allow_slow=self._allow_slow)

        return self._cached((spec, self._allow_slow), make)

    def evaluate(
        self, group: MemberGroup, state: TrainingState, validation: ValidationSet
    ) -> tuple[TrainingState, Array]:
        """Evaluate a group on validation data.

        Args:
            group: The members.
            state: Their state.
            validation: The data.

        Returns:
            The state after the evaluation; (members, metrics) the values of the metrics.
        """
        # The average has no part in an evaluation, and a program for any state must not depend on it.
        plan, arguments = validation.plan, (state._replace(average=()), validation.data, self._inputs.initial_metrics)
        stepped = isinstance(self.training(group), SteppedProgram)

        def make() -> EvaluationProgram | SteppedEvaluation:
            if stepped:
                return SteppedEvaluation(self._model, plan, self.metric_names, arguments)
            return EvaluationProgram(self._model, plan, self.metric_names, group.axis_length, arguments)

        program = self._cached(("evaluation", plan, group.axis_length, stepped), make)
        evaluated, values = program(*arguments)
        return evaluated._replace(average=state.average), group.with_axis(values)

    def choose(self, engine: str, members: int, time_fit: Callable[[], float]) -> EngineChoice:
        """Choose the engine.

        Args:
            engine: `"vmap"` or `"scan"` to use this one, or `"auto"`.
            members: Number of members.
            time_fit: Function that returns the seconds per step of `fit`.

        Returns:
            The choice. The result of a trial is cached with the programs of the model.

        Raises:
            ValueError: If the requested program cannot be compiled.
        """
        if not backends.is_functional():
            return self._choose_scan(engine, members)
        if engine != "auto":
            return choose_requested(engine)
        steps = self._inputs.total_steps
        # The trials take time, so a later call with the same shapes and lengths reuses their result.
        return self._cache.get(
            (self._key, "choice", members, steps, self._inputs.epochs_per_block, self._resumable),
            lambda: choose_engine(members, steps, lambda name: self._try_engine(name, members, time_fit)),
        )

    def _choose_scan(self, engine: str, members: int) -> EngineChoice:
        """Choose on a backend whose programs cannot be vectorized over members."""
        short = reason_too_short(members * self._inputs.total_steps)
        if short and engine == "auto":
            return choose_fit(short)
        # On TensorFlow only the traced program shows whether a layer draws from the global random numbers.
        refusal = self.training(SINGLE_MEMBER).refusal
        if engine == "auto":
            return choose_fit(refusal) if refusal else EngineChoice("scan", _SCAN_ONLY)
        if refusal:
            raise ValueError(f"Argument `engine` cannot be {engine!r} here: {refusal}. Pass `engine='auto'`.")
        return choose_requested(engine)

    def _try_engine(self, engine: str, members: int, time_fit: Callable[[], float]) -> EngineTrial:
        if engine != "fit":
            return self._time_program(all_members(members) if engine == "vmap" else SINGLE_MEMBER)
        trial = EngineTrial(time_fit())
        self._inputs.read_start()  # JAX has donated the arrays of the start state to `fit`.
        return trial

    def _time_program(self, group: MemberGroup) -> EngineTrial:
        """Time a program on more and more steps until the trial is long enough."""
        program = self.training(group)
        if program.refusal:
            return EngineTrial(float("inf"), program.compile_seconds, program.refusal)
        steps = 1
        while True:
            arguments = compilation.to_device(self._inputs.first_block(group, steps))
            # The minimum of three calls, because other processes only ever slow a call down.
            seconds = min(compilation.time_call(program, *arguments) for _ in range(3))
            if seconds > MIN_TRIAL_SECONDS or steps >= self._inputs.steps_per_block:
                return EngineTrial(seconds / steps / len(group.indices), program.compile_seconds)
            steps = min(4 * steps, self._inputs.steps_per_block)

    def _cached(self, key: tuple[Hashable, ...], make: Callable[[], P]) -> P:
        def make_and_time() -> P:
            program = make()
            self.compile_seconds += program.compile_seconds
            return program

        return self._cache.get((self._key, *key), make_and_time)


_SCAN_ONLY = "On this backend a compiled program trains one member after another, with less overhead than `fit`."


def _single_valued_metrics(model: keras.Model) -> tuple[str, ...]:
    """Return the names of the metrics that fit into a table. A metric may return several values, one per class."""
    values = model.get_metrics_result()
    # By its shape: TensorFlow cannot turn a bfloat16 tensor into a NumPy array.
    return tuple(name for name, value in values.items() if not len(getattr(value, "shape", ())))
