"""Training as one compiled program: on JAX and TensorFlow loops included, on PyTorch a single step.

A program is built in two steps: `trace` traces a function of arrays, so that it can be inspected, and `compile_traced`
compiles the result. `trace_step` traces a single step.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import step_graph

if TYPE_CHECKING:
    from typing import TypeAlias

    import jax
    import tensorflow as tf

    from onecycle.keras_support.types import Nested

    Traced: TypeAlias = jax.stages.Traced | tf.types.experimental.ConcreteFunction
    Program: TypeAlias = Callable[..., Nested]
    State: TypeAlias = Sequence[Sequence[keras.KerasTensor]]


def has_loops() -> bool:
    """Return whether a loop over training steps can be compiled: on JAX and TensorFlow."""
    return keras.backend.backend() in ("jax", "tensorflow")


def takes_state() -> bool:
    """Return whether a program takes the state of a model and returns a new one: on JAX and PyTorch.

    On TensorFlow a program changes the variables.
    """
    return keras.backend.backend() in ("jax", "torch")


def requires_xla() -> bool:
    """Return whether programs always use XLA, which a model may be compiled not to use: on JAX."""
    return keras.backend.backend() == "jax"


def shuffles_like_fit() -> bool:
    """Return whether `fit` draws the order of the rows from NumPy's generator, as programs do: on JAX."""
    return keras.backend.backend() == "jax"


def donates_state() -> bool:
    """Return whether a program can take over the memory of its state: on JAX."""
    return keras.backend.backend() == "jax"


def trace(
    function: Callable[..., Nested], arguments: tuple[Nested, ...], members: Nested = None, *, donates: bool = False
) -> Traced:
    """Trace a function of arrays.

    Args:
        function: The function.
        arguments: Arguments of the shapes and types to trace for.
        members: Nested like the arguments: 0 for those whose first axis is one of several members, None for those
            that all members share. The function is mapped over the members (JAX only). By default it is not mapped.
        donates: Whether the memory of the first argument is given to the results, so that it can be used only once
            (JAX only).

    Returns:
        The traced function, for `compile_traced`.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # No XLA: on a CPU its convolutions inside a loop are slow, and compiling takes longer than most programs run.
        return tf.function(function, autograph=False).get_concrete_function(*to_device(arguments))
    import jax

    if members is not None:
        function = jax.vmap(function, in_axes=members)
    return jax.jit(function, donate_argnums=(0,) if donates else ()).trace(*arguments)


def compile_traced(traced: Traced) -> Program:
    """Return a traced function as a program that takes arguments of the traced shapes."""
    if keras.backend.backend() == "tensorflow":
        return lambda *arguments: traced(*to_device(arguments))
    program: Program = traced.lower().compile()
    return program


def slow_convolution_flops(traced: Traced) -> int:
    """Return the number of multiplications and additions in convolutions of a traced program that will be slow.

    On a CPU, XLA computes convolutions inside a loop without its fast library: 5 times slower for a small network on
    Fashion-MNIST, and 35 times when mapped over members. The count is 0 on an accelerator and on TensorFlow.
    """
    if keras.backend.backend() != "jax":
        return 0
    import jax

    return _convolution_flops(traced.jaxpr) if jax.default_backend() == "cpu" else 0


def _convolution_flops(jaxpr: jax.core.ClosedJaxpr) -> int:
    flops = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            kernel, order = equation.invars[1].aval, equation.params["dimension_numbers"]
            outputs = int(np.prod(equation.outvars[0].aval.shape))
            # Each output sums over the whole kernel except its axis of output channels.
            flops += 2 * outputs * int(np.prod(kernel.shape)) // kernel.shape[order.rhs_spec[0]]
        # Loops, branches and calls hold inner programs among their parameters.
        inner = [getattr(leaf, "jaxpr", leaf) for leaf in keras.tree.flatten(list(equation.params.values()))]
        flops += sum(_convolution_flops(one) for one in inner if hasattr(one, "eqns"))
    return flops


def uses_global_random_state(traced: Traced, generator: keras.Variable | None) -> bool:
    """Return whether a traced program draws from a global random number generator, that of TensorFlow or that of Keras.

    The program would keep using the generator that existed when it was traced. On JAX, no program does this.

    Args:
        traced: The traced program.
        generator: The state of Keras' global seed generator, if there is one.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    from tensorflow.python.framework import op_def_registry

    if generator is not None and any(captured is generator.value.handle for captured in traced.captured_inputs):
        return True
    # A stateless random operation has its seed as an input; a stateful one draws from the generator of TensorFlow.
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    random_operations = {node.op for node in nodes if re.search("Random|Multinomial|TruncatedNormal", node.op)}
    return any(op_def_registry.get(operation).is_stateful for operation in random_operations)


def loss_and_updates(
    model: keras.Model, state: State, x: Nested, y: Nested, sample_weight: Nested, *, training: bool
) -> tuple[Nested, tuple[Nested, Nested, Nested]]:
    """Compute the loss of a batch as Keras does in a step of training or evaluation (JAX and PyTorch).

    Args:
        model: The model.
        state: Values of its trainable variables, its others, those of the optimizer, and those of the metrics.
        x: Inputs of the batch.
        y: Targets of the batch.
        sample_weight: Weights of the batch's rows, or None.
        training: Whether the step trains.

    Returns:
        The loss, without the scale of a `LossScaleOptimizer`; the predictions, and the values of the variables that are
        not trainable and of those of the metrics after it.
    """
    if keras.backend.backend() == "torch":
        return step_graph.loss_of_tensors(model, state, x, y, sample_weight, training)
    trainable, others, optimizer, metrics = state
    _, (loss, y_pred, others, metrics) = model.compute_loss_and_updates(
        trainable, others, metrics, x, y, sample_weight, training=training, optimizer_variables=optimizer
    )
    return loss, (y_pred, others, metrics)


def with_gradients(
    function: Callable[..., tuple[Nested, Nested]], trainable: Sequence[keras.KerasTensor]
) -> tuple[tuple[Nested, Nested], Nested]:
    """Call a function of trainable values that returns (loss, other results), and compute the gradients of the loss.

    Returns:
        What the function returns; the gradients, on PyTorch None where the loss does not depend on a value.
    """
    if keras.backend.backend() == "torch":
        return step_graph.gradients_of_tensors(function, trainable)
    import jax

    result: tuple[tuple[Nested, Nested], Nested] = jax.value_and_grad(function, has_aux=True)(trainable)
    return result


def trace_step(
    function: Callable[..., Nested], arguments: tuple[Nested, ...], *, donates: bool = False
) -> tuple[Callable[[], Program], int]:
    """Trace a single step, for loops on the host (JAX and PyTorch).

    Args:
        function: Takes flat lists of tensors or tensors, and returns a flat list. On PyTorch it may change them.
        arguments: Arguments of the shapes and types to trace for.
        donates: As in `trace`.

    Returns:
        A function that compiles what was traced and returns the program; on a CPU with JAX, the multiplications and
        additions in convolutions of the step.
    """
    if keras.backend.backend() == "torch":
        graph = step_graph.compiled_step(function, arguments)
        return lambda: graph, 0
    traced = trace(function, arguments, donates=donates)
    return lambda: compile_traced(traced), slow_convolution_flops(traced)


def frozen_value(variable: keras.Variable) -> keras.KerasTensor:
    """Return a variable's value as a tensor that does not change with the variable."""
    if keras.backend.backend() == "jax":
        return variable.value
    if keras.backend.backend() == "torch":
        return variable.value.detach().clone()
    import tensorflow as tf

    return tf.identity(variable.value)


def own_copy(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Return a tensor for a step that changes it in place: on PyTorch a copy. On JAX steps change nothing in place."""
    return tensor.detach().clone() if keras.backend.backend() == "torch" else tensor


def step_values(table: NDArray[Any]) -> Sequence[Any]:
    """Return the rows of an array, each as an argument of a compiled step (JAX and PyTorch)."""
    if keras.backend.backend() != "torch":
        return table  # type: ignore[return-value]  # an array is as good as a list
    import torch

    # Indices on the device of the data; numbers on the host, where operations read them as numbers.
    if table.ndim == 2:
        return keras.ops.convert_to_tensor(table.astype("int64")).unbind()
    return torch.from_numpy(table).unbind()


def take_rows(array: keras.KerasTensor, indices: keras.KerasTensor) -> keras.KerasTensor:
    """Return the rows of a tensor with the given indices, all of which must exist."""
    if keras.backend.backend() != "tensorflow":
        return array[indices]  # `keras.ops.take` would also compute what to do with indices out of range
    return keras.ops.take(array, indices, axis=0)


def to_device(values: Nested) -> Nested:
    """Return nested arrays as the tensors that a compiled program takes."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return keras.tree.map_structure(lambda one: None if one is None else tf.convert_to_tensor(one), values)
    if keras.backend.backend() == "torch":
        return keras.tree.map_structure(lambda one: None if one is None else keras.ops.convert_to_tensor(one), values)
    import jax

    return jax.device_put(values)


def to_host(values: Nested) -> Nested:
    """Return nested tensors as NumPy arrays, once they are computed."""

    def read(leaf: Nested) -> Nested:
        return None if leaf is None else np.asarray(keras.ops.convert_to_numpy(leaf))

    return keras.tree.map_structure(read, values)


def time_call(function: Program, *arguments: Nested) -> float:
    """Return the seconds that a call takes until its results are computed (JAX)."""
    import jax

    began = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began
