"""What differs between TensorFlow, JAX and PyTorch, all of it in one room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

_TINY = float(np.finfo("float32").tiny)


_JAX_STATE = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")


def name() -> str:
    """The backend in force: "tensorflow", "jax" or "torch"."""
    return str(keras.backend.backend())


def evaluates_on_host() -> bool:
    """Whether a curve is better computed in Python than as tensor operations: PyTorch.

    There a training step runs eagerly, so a curve of tensor operations would cost some 30 of them a step, and a
    tensor as momentum makes `torch._foreach_*(alpha=...)` wait for the device.
    """
    return keras.backend.backend() == "torch"


def row_of_table(table: Any, step: Any, *, first: int) -> list[Any]:
    """The columns of a table's row at a step counter, by as few operations as can be; ends are held."""
    if keras.backend.backend() == "jax":
        return _jax_row(table, step.value - first)
    import tensorflow as tf

    step = tf.convert_to_tensor(step)
    row = tf.maximum(step - first, 0) if first else step
    return tf.unstack(tf.gather(table, tf.minimum(row, len(table) - 1)), num=table.shape[1])


def _jax_row(table: Any, row: Any) -> list[Any]:
    import jax

    found = jax.lax.dynamic_index_in_dim(table, jax.numpy.clip(row, 0, len(table) - 1), keepdims=False)
    return [found[column] for column in range(table.shape[1])]


def uncompiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, left out of `torch.compile`, which would compile it anew for each value that changes with the step.

    `jit_compile=True` still compiles the forward and backward pass around it.
    """
    if keras.backend.backend() != "torch":
        return function
    import torch

    left_out: Callable[..., Any] = torch.compiler.disable(function)
    return left_out


def computed_on_host(schedule: Any, step: int) -> float:
    """A schedule that knows only tensors, at one step, computed on the CPU: nothing waits for an accelerator."""
    with keras.device("cpu"):
        return float(keras.ops.convert_to_numpy(schedule(step)))


def write_count(variable: Any) -> int:
    """How often PyTorch has written into the variable's memory; reading it does not wait for the device."""
    return int(variable.value._version)


def placement(model: Any) -> AbstractContextManager[Any]:
    """Where variables beside the model's have to be made: in TensorFlow's strategy scope, if it has one."""
    if keras.backend.backend() == "tensorflow":
        scope: AbstractContextManager[Any] = model.distribute_strategy.scope()
        return scope
    return nullcontext()


def torch_state(model: Any) -> list[tuple[Any, str, Any]]:
    """What training changes on PyTorch besides values: each module's `training` and each variable's `.grad`."""
    if keras.backend.backend() != "torch":
        return []
    modes = [(module, "training", module.training) for module in model.modules()]
    return modes + [(variable.value, "grad", variable.value.grad) for variable in model.variables]


def set_torch_state(state: list[tuple[Any, str, Any]]) -> None:
    """Put back what `torch_state` saw."""
    for owner, name, value in state:
        setattr(owner, name, value)


def is_tracked_list(value: Any) -> bool:
    """Whether a list is TensorFlow's wrapper, which keeps its items in an attribute and counts changes to them."""
    return isinstance(value, list) and hasattr(value, "_storage")


def is_tracked_dict(value: Any) -> bool:
    """Whether a dict is TensorFlow's wrapper, which has to be told of every change."""
    return isinstance(value, dict) and hasattr(value, "__wrapped__")


def to_numpy(variable: Any) -> Any:
    """A variable's value; of one that tf.distribute mirrors too, which `keras.ops.convert_to_numpy` cannot read."""
    if keras.backend.backend() == "tensorflow":
        return variable.value.numpy()
    return keras.ops.convert_to_numpy(variable.value)


def end_of_data() -> tuple[type[BaseException], ...]:
    """What a compiled training function raises where no batch is left."""
    if keras.backend.backend() != "tensorflow":
        return (StopIteration,)
    import tensorflow as tf

    return (StopIteration, tf.errors.OutOfRangeError)


def steps_in_python() -> bool:
    """Whether a training step runs as Python code, so that it may keep what it likes: PyTorch."""
    return keras.backend.backend() == "torch"


def stacked(values: list[Any]) -> list[float]:
    """Scalar tensors as numbers, read from the device together."""
    return keras.ops.convert_to_numpy(keras.ops.stack(values)).tolist() if values else []


def replicas(model: Any) -> int:
    """How many copies of the model train together under TensorFlow's strategy."""
    return model.distribute_strategy.num_replicas_in_sync if keras.backend.backend() == "tensorflow" else 1


def is_distributed(model: Any) -> bool:
    """Whether the model trains under a strategy of TensorFlow or a distribution of Keras."""
    return keras.distribution.distribution() is not None or getattr(model, "_distribute_strategy", None) is not None


def carries_state() -> bool:
    """Whether a training step takes all variables in and gives them out, so that one more has to be among them."""
    return keras.backend.backend() == "jax"


def variable_after_step(model: Any, variable: Any, result: Any) -> Any:
    """A model's or optimizer's variable as NumPy, after a call of `model.train_function` returned `result`.

    On JAX the newest state is in the result, and the variables themselves are empty while `fit` runs.
    """
    if keras.backend.backend() != "jax" or result is None:
        return to_numpy(variable)
    _, non_trainable, optimizer, _ = result[1]
    known = [*zip(model.optimizer.variables, optimizer, strict=True)]
    known += zip(model.non_trainable_variables, non_trainable, strict=True)
    return keras.ops.convert_to_numpy(next(value for other, value in known if other is variable))


def attach_state(model: Any, result: Any = None) -> None:
    """Write JAX's newest state back into the variables, so that they can be read and assigned.

    Args:
        result: What `model.train_function` has just returned; without it, the state that `fit` holds is written.
    """
    if keras.backend.backend() != "jax":
        return
    if result is not None:
        model._jax_state = dict(zip(_JAX_STATE, result[1], strict=True))
        model._jax_state_synced = False
    model.jax_state_sync()


def forget_state(model: Any) -> None:
    """Keep `fit` on JAX from writing its own state over the variables, after an exception has left it half done."""
    if keras.backend.backend() == "jax":
        model._jax_state_synced = True


def result_with_state_of(model: Any, result: Any) -> Any:
    """The result of `model.train_function`, on JAX with the state that the model's variables now hold."""
    if keras.backend.backend() != "jax":
        return result
    logs, _ = result
    return logs, model._get_jax_state(**dict.fromkeys(_JAX_STATE, True))


def versions() -> dict[str, str]:
    """Name and version of the library behind Keras."""
    return {name(): sys.modules[name()].__version__}


def fast_steps_per_execution(model: Any) -> int:
    """How many steps one call of the compiled function should do where onecycle may choose it.

    TensorFlow runs them in one graph; JAX loops in Python; PyTorch allows one. TensorFlow's loop over steps breaks
    under a strategy with several replicas.
    """
    if keras.backend.backend() != "tensorflow" or model.run_eagerly:
        return 1
    return 1 if model.distribute_strategy.num_replicas_in_sync > 1 else 32


def answering_not_zero(value: Any) -> Any:
    """The momentum in a form that Keras' SGD and RMSprop can ask `!= 0` and `> 0` while their step is traced."""
    if isinstance(value, float):
        return max(value, _TINY)  # at 0 Keras would leave the velocity as it is, not empty it
    if keras.backend.backend() == "torch":
        return value
    return _NonZeroTensor(value)


class _NonZeroTensor:
    """A scalar tensor that answers `!= 0` and `> 0` on the host, where a tensor being traced has no answer."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor
        self.dtype = keras.backend.standardize_dtype(tensor.dtype)
        self.shape = tensor.shape

    def __ne__(self, other: object) -> bool:
        return True

    def __gt__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__

    def __jax_array__(self) -> Any:
        return self.tensor

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        import tensorflow as tf

        return self.tensor if dtype is None else tf.cast(self.tensor, dtype)
