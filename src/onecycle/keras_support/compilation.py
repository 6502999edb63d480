"""Training as one compiled program, loops included: what JAX and TensorFlow each need for that; PyTorch has none."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def exist() -> bool:
    """Whether a loop over training steps can be compiled from the outside: JAX and TensorFlow."""
    return keras.backend.backend() in ("jax", "tensorflow")


def are_functions() -> bool:
    """Whether they are functions of arrays, which can be mapped over members: JAX. TensorFlow's change variables."""
    return keras.backend.backend() == "jax"


def need_xla() -> bool:
    """Whether they cannot do without XLA, which a model may be compiled to do without: JAX."""
    return keras.backend.backend() == "jax"


def read_rows_as_fit_does() -> bool:
    """Whether `fit` draws the order of arrays' rows from NumPy's generator, as programs do: JAX."""
    return keras.backend.backend() == "jax"


def value(variable: Any) -> Any:
    """A variable's value as a tensor that stays what it is when the variable changes."""
    if keras.backend.backend() == "jax":
        return variable.value
    import tensorflow as tf

    return tf.identity(variable.value)


def rows(array: Any, wanted: Any) -> Any:
    """The rows of a tensor whose numbers are in another."""
    if keras.backend.backend() == "jax":
        return array[wanted]  # `take` would look for numbers that are out of range
    return keras.ops.take(array, wanted, axis=0)


def traced(function: Callable[..., Any], arguments: tuple[Any, ...], members: Any = None) -> Any:
    """A function of arrays, traced for arguments of these shapes; `compiled` makes it a program.

    Args:
        members: Where given, the function is mapped over the first axis of the arguments whose entry is 0 (JAX).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # No XLA: on a CPU its convolutions inside a loop are slow, and compiling takes longer than most programs run.
        return tf.function(function, autograph=False).get_concrete_function(*on_device(arguments))
    import jax

    if members is not None:
        function = jax.vmap(function, in_axes=members)
    return jax.jit(function).trace(*arguments)


def compiled(traced: Any) -> Callable[..., Any]:
    """What `traced` gave as a program to be called with such arguments."""
    if keras.backend.backend() == "tensorflow":
        return lambda *arguments: traced(*on_device(arguments))
    program: Callable[..., Any] = traced.lower().compile()
    return program


def convolutions_in_loops(traced: Any) -> int:
    """Multiplications and additions of the convolutions that a traced program holds, where loops are bad for them.

    On a CPU, XLA computes what is inside a loop without the library whose convolutions are fast: 5 times slower for a
    small net on Fashion-MNIST, and 35 times when mapped over members. 0 on an accelerator, and on TensorFlow.
    """
    if keras.backend.backend() == "tensorflow":
        return 0
    import jax

    return _convolutions(traced.jaxpr) if jax.default_backend() == "cpu" else 0


def draws_globally(traced: Any, generator: Any) -> bool:
    """Whether a traced program draws from TensorFlow's or Keras' global random numbers, those it began with for good.

    Args:
        generator: The state of Keras' global generator, or None.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    from tensorflow.python.framework import op_def_registry

    if generator is not None and any(held is generator.value.handle for held in traced.captured_inputs):
        return True
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    drawing = {node.op for node in nodes if re.search("Random|Multinomial|TruncatedNormal", node.op)}
    return any(op_def_registry.get(name).is_stateful for name in drawing)


def _convolutions(jaxpr: Any) -> int:
    found = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            kernel, order = equation.invars[1].aval, equation.params["dimension_numbers"]
            size = int(np.prod(equation.outvars[0].aval.shape))
            found += 2 * size * int(np.prod(kernel.shape)) // kernel.shape[order.rhs_spec[0]]
        inner = [getattr(leaf, "jaxpr", leaf) for leaf in keras.tree.flatten(list(equation.params.values()))]
        found += sum(_convolutions(one) for one in inner if hasattr(one, "eqns"))
    return found


def value_and_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that also gives the gradients by its first argument; it returns (loss, others) (JAX)."""
    import jax

    found: Callable[..., Any] = jax.value_and_grad(function, has_aux=True)
    return found


def on_device(values: Any) -> Any:
    """Nested arrays, where a compiled program takes them from."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return keras.tree.map_structure(lambda one: None if one is None else tf.convert_to_tensor(one), values)
    import jax

    return jax.device_put(values)


def on_host(values: Any) -> Any:
    """Nested arrays as NumPy, once they are computed."""
    return keras.tree.map_structure(lambda one: None if one is None else np.asarray(one), values)


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """What a call takes until its arrays are computed (JAX)."""
    import jax

    began = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began
