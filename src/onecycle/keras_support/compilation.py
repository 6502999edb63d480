"""Training as one compiled program, loops included, on JAX and TensorFlow. PyTorch has no such program.

A program is built in two steps: `trace` traces a function of arrays, so that it can be inspected, and `compile_traced`
compiles the result.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    import jax
    import tensorflow as tf

    from onecycle.keras_support.types import Nested

    Traced: TypeAlias = jax.stages.Traced | tf.types.experimental.ConcreteFunction
    Program: TypeAlias = Callable[..., Nested]


def is_available() -> bool:
    """Return whether a loop over training steps can be compiled: on JAX and TensorFlow."""
    return keras.backend.backend() in ("jax", "tensorflow")


def requires_xla() -> bool:
    """Return whether programs always use XLA, which a model may be compiled not to use: on JAX."""
    return keras.backend.backend() == "jax"


def shuffles_like_fit() -> bool:
    """Return whether `fit` draws the order of the rows from NumPy's generator, as programs do: on JAX."""
    return keras.backend.backend() == "jax"


def trace(function: Callable[..., Nested], arguments: tuple[Nested, ...], members: Nested = None) -> Traced:
    """Trace a function of arrays.

    Args:
        function: The function.
        arguments: Arguments of the shapes and types to trace for.
        members: Nested like the arguments: 0 for those whose first axis is one of several members, None for those
            that all members share. The function is mapped over the members (JAX only). By default it is not mapped.

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
    return jax.jit(function).trace(*arguments)


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
    if keras.backend.backend() == "tensorflow":
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


def value_and_gradients(function: Callable[..., tuple[Nested, Nested]]) -> Program:
    """Return a function that also computes the gradients with respect to its first argument (JAX).

    Args:
        function: Returns (loss, other results).

    Returns:
        A function that returns ((loss, other results), gradients).
    """
    import jax

    with_gradients: Program = jax.value_and_grad(function, has_aux=True)
    return with_gradients


def frozen_value(variable: keras.Variable) -> keras.KerasTensor:
    """Return a variable's value as a tensor that does not change with the variable."""
    if keras.backend.backend() == "jax":
        return variable.value
    import tensorflow as tf

    return tf.identity(variable.value)


def take_rows(array: keras.KerasTensor, indices: keras.KerasTensor) -> keras.KerasTensor:
    """Return the rows of a tensor with the given indices, all of which must exist."""
    if keras.backend.backend() == "jax":
        return array[indices]  # `keras.ops.take` would also compute what to do with indices out of range
    return keras.ops.take(array, indices, axis=0)


def to_device(values: Nested) -> Nested:
    """Return nested arrays as the tensors that a compiled program takes."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return keras.tree.map_structure(lambda one: None if one is None else tf.convert_to_tensor(one), values)
    import jax

    return jax.device_put(values)


def to_host(values: Nested) -> Nested:
    """Return nested tensors as NumPy arrays, once they are computed."""
    return keras.tree.map_structure(lambda one: None if one is None else np.asarray(one), values)


def time_call(function: Program, *arguments: Nested) -> float:
    """Return the seconds that a call takes until its results are computed (JAX)."""
    import jax

    began = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began
