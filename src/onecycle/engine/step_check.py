"""A check of a step that PyTorch runs as a graph: its numbers must be those of Keras' own step."""

from __future__ import annotations

from typing import NoReturn

import keras
import numpy as np

from onecycle.engine.member_schedules import StepHyperparameters
from onecycle.engine.program_steps import Data, take_batch
from onecycle.engine.stepped_program import SteppedProgram
from onecycle.engine.training_program import BlockArguments, ProgramSpec, StepInputs
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import compilation
from onecycle.keras_support.loss_capture import captured_losses
from onecycle.keras_support.snapshot import RandomSnapshot, StateSnapshot

# Large enough to show in the weights, small enough not to overflow.
LEARNING_RATE, MOMENTUM = 1e-2, 0.9
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-4, 1e-6  # of float32; the operations are the same


class RefusedProgram:
    """Stands for a program that cannot be used.

    Attributes:
        refusal: Why, as the end of a sentence.
        compile_seconds: Seconds spent on finding that out.
        variables: Empty.
    """

    variables: tuple[keras.Variable, ...] = ()

    def __init__(self, refusal: str, compile_seconds: float) -> None:
        self.refusal, self.compile_seconds = refusal, compile_seconds

    def __call__(self, *arguments: object) -> NoReturn:
        """Raise an error: the caller has not read `refusal`."""
        raise RuntimeError(self.refusal)


def differs_from_keras(
    model: keras.Model, program: SteppedProgram, spec: ProgramSpec, arguments: BlockArguments
) -> bool:
    """Return whether the first step of a program has another result than Keras' `train_step` on the same batch.

    A graph would miss, for example, a state outside the variables. The model is restored.

    Args:
        model: The compiled model.
        program: The program, compiled.
        spec: What it was compiled for.
        arguments: Arguments of a call, of which the first step is made.
    """
    state, data, inputs, _, initial_metrics, _ = arguments
    momenta = None if inputs.momenta is None else np.full_like(inputs.momenta, MOMENTUM)
    inputs = StepInputs(inputs.rows, np.full_like(inputs.learning_rates, LEARNING_RATE), momenta)
    plan = spec.plan
    one_step = plan.segments(0, 1).padded(spec.max_segments)
    randomness = RandomSnapshot()
    found, losses, _ = program(state, data, inputs, one_step, initial_metrics, np.int32(1))
    randomness.restore()
    expected, loss = _step_of_keras(model, spec, state._replace(metrics=initial_metrics), data, inputs)
    randomness.restore()
    groups = 4 if spec.metrics else 3
    pairs = zip(keras.tree.flatten(found[:groups]), keras.tree.flatten(expected[:groups]), strict=True)
    return not (
        np.isclose(losses[0], loss, RELATIVE_TOLERANCE, equal_nan=True) and all(_close(*pair) for pair in pairs)
    )


def _step_of_keras(
    model: keras.Model, spec: ProgramSpec, state: TrainingState, data: Data, inputs: StepInputs
) -> tuple[TrainingState, float]:
    before = StateSnapshot(model)
    rows = compilation.step_values(inputs.rows)[0]
    size = spec.plan.batch_size if spec.plan.full_batches else spec.plan.remainder
    hyperparameters = StepHyperparameters(scheduled_momentum=spec.scheduled_momentum)
    hyperparameters.set(LEARNING_RATE, MOMENTUM if spec.scheduled_momentum else None)
    try:
        state.assign_to(model)
        with hyperparameters.installed(model), captured_losses(model) as losses:
            model.train_step(take_batch(data, rows[:size]))
        return TrainingState.of(model), float(losses[-1].detach())
    finally:
        model.zero_grad()
        before.restore()


def _close(found: object, expected: object) -> bool:
    one, other = (np.asarray(keras.ops.convert_to_numpy(array), "float64") for array in (found, expected))
    return bool(np.allclose(one, other, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, equal_nan=True))
