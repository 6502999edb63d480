"""The differences between TensorFlow, JAX and PyTorch that onecycle has to know.

Private names of Keras, checked on Keras 3.15.1: `in_stateless_scope` of
`keras.src.backend.common.stateless_scope`. Of the backends: `Tensor._version` (PyTorch 2.13) and the `_storage` of
TensorFlow 2.21's list wrapper.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import keras
import numpy as np
from keras.src.backend.common.stateless_scope import in_stateless_scope
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

P = ParamSpec("P")
R = TypeVar("R")


def name() -> str:
    """Return the name of the current backend: "tensorflow", "jax" or "torch"."""
    return str(keras.backend.backend())


def versions() -> dict[str, str]:
    """Return library -> version, for Keras and its backend."""
    return {"keras": keras.__version__, name(): sys.modules[name()].__version__}


def runs_eagerly() -> bool:
    """Return whether a training step runs as Python code and is not traced: on PyTorch.

    There, a curve computed with tensors would take about 30 operations per step, and a tensor as momentum would make
    `torch._foreach_*(alpha=...)` wait for the device. So schedules are evaluated on the host.
    """
    return name() == "torch"


def is_tracing() -> bool:
    """Return whether the code that runs is being traced, so that variables have no values on the host."""
    if in_stateless_scope():
        return True
    if name() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly()


def is_functional() -> bool:
    """Return whether a training step is a pure function that takes all state and returns it: on JAX.

    Such a step can be mapped over several states, and it sees only the variables that are passed to it.
    """
    return name() == "jax"


# Reading values


def to_numpy(variable: keras.Variable) -> NDArray[Any]:
    """Return a variable's value. Unlike `keras.ops.convert_to_numpy` it reads variables mirrored by tf.distribute."""
    if name() == "tensorflow":
        return variable.value.numpy()
    return keras.ops.convert_to_numpy(variable.value)


def scalar_reader() -> Callable[[Nested], float]:
    """Return what reads a number that a training step has computed. It waits for the step, and costs little else."""
    if name() == "torch":
        return lambda value: float(value.item() if hasattr(value, "item") else value)
    return lambda value: float(np.asarray(value))  # half the time of `float` on JAX and TensorFlow


def read_numbers(values: list[keras.KerasTensor]) -> list[float]:
    """Return tensors of one number each as floats, with a single transfer from the device."""
    return keras.ops.convert_to_numpy(keras.ops.stack(values)).tolist() if values else []


def table_row(
    table: NDArray[np.floating], step: keras.Variable | keras.KerasTensor, *, first: int
) -> list[keras.KerasTensor]:
    """Return one row of a table, with as few operations as possible.

    Args:
        table: (n, columns) one row per step.
        step: The step counter.
        first: The step of the first row. Earlier steps have the first row, steps after the table the last one.

    Returns:
        One scalar tensor per column.
    """
    if name() == "jax":
        return _jax_row(table, step.value - first)
    import tensorflow as tf

    step = tf.convert_to_tensor(step)
    row = tf.maximum(step - first, 0) if first else step
    return tf.unstack(tf.gather(table, tf.minimum(row, len(table) - 1)), num=table.shape[1])


def _jax_row(table: NDArray[np.floating], row: keras.KerasTensor) -> list[keras.KerasTensor]:
    import jax

    columns = jax.lax.dynamic_index_in_dim(table, jax.numpy.clip(row, 0, len(table) - 1), keepdims=False)
    return [columns[column] for column in range(table.shape[1])]


def evaluate_on_cpu(schedule: Callable[[int], keras.KerasTensor], step: int) -> float:
    """Return a tensor-valued schedule at one step, computed on the CPU so that no step waits for an accelerator."""
    with keras.device("cpu"):
        return float(keras.ops.convert_to_numpy(schedule(step)))


def write_count(variable: keras.Variable) -> int:
    """Return how often PyTorch has written to the variable's memory, without waiting for the device."""
    return int(variable.value._version)


def mixes_dtypes() -> bool:
    """Return whether operations take tensors of several dtypes, as on JAX and PyTorch."""
    return name() != "tensorflow"


def in_dtype(value: float | keras.KerasTensor, dtype: str) -> float | keras.KerasTensor:
    """Return a scalar in a dtype where operations take only one."""
    return value if mixes_dtypes() or isinstance(value, float) else keras.ops.cast(value, dtype)


# What happens around a training step


def exclude_from_compilation(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, excluded from `torch.compile`, which would recompile it for each value that changes.

    `jit_compile=True` still compiles the forward and backward pass around it.
    """
    if name() != "torch":
        return function
    import torch

    excluded: Callable[P, R] = torch.compiler.disable(function)
    return excluded


def after(tensors: Iterable[Nested]) -> AbstractContextManager[object]:
    """Return a context whose operations run only once the tensors are computed.

    In a graph of TensorFlow, operations that need no data run even where no batch is left, such as the one that counts
    the step. On the other backends, and in eager code, operations run in the order of the program.

    Args:
        tensors: Tensors, some of which may be None.
    """
    if name() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    if tf.executing_eagerly():
        return nullcontext()
    context: AbstractContextManager[object] = tf.control_dependencies([one for one in tensors if one is not None])
    return context


def end_of_data_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions that a compiled training function raises when no batch is left."""
    if name() != "tensorflow":
        return (StopIteration,)
    import tensorflow as tf

    return (StopIteration, tf.errors.OutOfRangeError)


# Data and containers


def data_loader_access(loader: object) -> Callable[[int], Nested] | None:
    """Return a function that reads the batch at an index of PyTorch's `DataLoader`, if it reads its data in order.

    Args:
        loader: Any data set.

    Returns:
        None for other data sets, and for a loader that shuffles, or whose data set can only be iterated over.
    """
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is None or not isinstance(loader, torch_data.DataLoader):
        return None
    dataset, sampler = loader.dataset, loader.sampler
    # Without a batch sampler, the rows are not put together to batches.
    if loader.batch_sampler is None or not isinstance(sampler, torch_data.SequentialSampler):
        return None
    batches = [list(rows) for rows in loader.batch_sampler]

    def read(index: int) -> Nested:
        return loader.collate_fn([dataset[row] for row in batches[index]])

    return read


def holds_all_values(leaf: object) -> bool:
    """Return whether an array or a tensor has all its values in memory: it is neither sparse nor ragged."""
    if isinstance(leaf, np.ndarray | np.generic):
        return True
    if name() == "tensorflow":
        import tensorflow as tf

        return isinstance(leaf, tf.Tensor)
    if name() == "jax":
        import jax

        return isinstance(leaf, jax.Array)
    import torch

    return isinstance(leaf, torch.Tensor) and leaf.layout == torch.strided


def is_tracked_list(value: object) -> bool:
    """Return whether a list is TensorFlow's wrapper, which keeps its items in `_storage` and counts its changes."""
    return isinstance(value, list) and hasattr(value, "_storage")


def is_tracked_dict(value: object) -> bool:
    """Return whether a dict is TensorFlow's wrapper, which has to see every change."""
    return isinstance(value, dict) and hasattr(value, "__wrapped__")
