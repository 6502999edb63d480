"""The kind of program that trains fastest: a compiled loop, or a loop on the host over a compiled step."""

from __future__ import annotations

import time
from typing import TypeAlias

import keras

from onecycle.engine.step_check import RefusedProgram, differs_from_keras
from onecycle.engine.stepped_program import SteppedProgram
from onecycle.engine.training_program import (
    MAX_CONVOLUTION_OPERATIONS,
    BlockArguments,
    ProgramSpec,
    TrainingProgram,
)
from onecycle.keras_support import compilation
from onecycle.keras_support.snapshot import RandomSnapshot

# Tracing on PyTorch takes as long as 50 to 80 steps of `fit`, and a step then takes 0.2 to 0.85 times as long.
MIN_GRAPH_STEPS = 150

Program: TypeAlias = TrainingProgram | SteppedProgram | RefusedProgram


def compile_training(
    model: keras.Model, spec: ProgramSpec, arguments: BlockArguments, *, allow_slow: bool = False
) -> Program:
    """Compile a block of training steps.

    A loop on the host costs a tenth of a millisecond per step, much less than what convolutions of
    `MAX_CONVOLUTION_OPERATIONS` take longer inside a compiled loop. So nothing has to be timed to choose.

    Args:
        model: A compiled model.
        spec: What to compile for.
        arguments: Arguments with the shapes of later calls.
        allow_slow: Whether to compile for several members even if their convolutions are slow on this device.
    """
    if not compilation.has_loops():
        return _compile_graph(model, spec, arguments)
    may_step = spec.members is None and not spec.averages
    if may_step and _may_convolve(model) and compilation.takes_state():
        stepped = SteppedProgram(model, spec, arguments)
        if stepped.convolution_flops > MAX_CONVOLUTION_OPERATIONS:
            stepped.compile()
            return stepped
    return TrainingProgram(model, spec, arguments, allow_slow=allow_slow)


def reason_too_short(steps: int) -> str | None:
    """Return why no program should be used for so few steps, as the end of a sentence, or None.

    It does not depend on what was compiled before: a graph reads the rows in another order than `fit`, and a result
    with a seed must not depend on earlier calls.
    """
    if compilation.has_loops() or steps >= MIN_GRAPH_STEPS:
        return None
    return f"tracing a training step takes longer than it saves in {steps} steps"


def _compile_graph(model: keras.Model, spec: ProgramSpec, arguments: BlockArguments) -> Program:
    """Compile a graph on PyTorch, or return why there is none."""
    began, randomness = time.perf_counter(), RandomSnapshot()
    try:
        program = SteppedProgram(model, spec, arguments)
        program.compile()
        refusal = _OTHER_NUMBERS if differs_from_keras(model, program, spec, arguments) else None
    except Exception as error:  # noqa: BLE001  # a layer may read values or do what a graph cannot, in many ways
        refusal = f"the training step cannot be traced ({type(error).__name__})"
    finally:
        randomness.restore()
    return RefusedProgram(refusal, time.perf_counter() - began) if refusal else program


_OTHER_NUMBERS = "a traced training step has other results than that of Keras"


def _may_convolve(model: keras.Model) -> bool:
    """Return whether a weight may be the kernel of a convolution, which has at least three axes."""
    return any(len(variable.shape) > 2 for variable in model.variables)
