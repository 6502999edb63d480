"""Compiled functions that contain the step of an optimizer as it was before its schedules changed.

The private names of TensorFlow 2.21 used here: `Function._variable_creation_config` and
`_no_variable_creation_config`, each with its `function_cache`.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import step_counter

if TYPE_CHECKING:
    import tensorflow as tf


def retrace_functions(optimizer: keras.optimizers.Optimizer) -> None:
    """Have compiled functions that contain a step of the optimizer traced again at their next call.

    Nobody passes these functions: they belong to models that hold the optimizer, or to a user's own training loop. On
    TensorFlow they are found by the step counter that they use. JAX does not record what a function uses, so all
    functions are traced again. On PyTorch the step is not compiled, and `torch.compile` notices the change itself.

    Args:
        optimizer: The optimizer. One that is not built is in no compiled function.
    """
    if not optimizer.built:
        return
    if backends.name() == "jax":
        import jax

        jax.clear_caches()
    elif backends.name() == "tensorflow":
        counter = step_counter(optimizer).value
        # Under a strategy, each replica has a counter.
        handles = {id(one.handle) for one in getattr(counter, "values", (counter,))}
        for function in _functions():
            _discard_traces(function, handles)


def _functions() -> list[tf.types.experimental.PolymorphicFunction]:
    """Return every `tf.function` that exists."""
    kind = type(sys.modules["tensorflow"].function(lambda: None))
    # By `type`, since `isinstance` asks some objects for an attribute, which may load or create something.
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def _discard_traces(function: tf.types.experimental.PolymorphicFunction, handles: set[int]) -> None:
    """Empty the caches of a function if one of its traces uses any of the handles."""
    for config in (function._variable_creation_config, function._no_variable_creation_config):
        cache = None if config is None else config.function_cache
        if cache is not None and any(id(one) in handles for trace in cache.values() for one in trace.captured_inputs):
            cache.clear()
