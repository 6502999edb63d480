"""State that is not in Keras' variables: arrays, random generators, and what PyTorch and TensorFlow keep themselves."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf
    import torch

MAX_ARRAY_BYTES = 2**28  # A larger array of NumPy is taken for data, which training does not change.


def is_module(value: object) -> bool:
    """Return whether a value is a module of PyTorch, or an object of TensorFlow that tracks variables."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(value, tensorflow.__internal__.tracking.AutoTrackable):
        return True
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].nn.Module)


def tensors_of_module(value: object) -> Iterator[object]:
    """Return the parameters and buffers of a module of TorchScript, which are not among its attributes."""
    if keeps_attributes_elsewhere(value):
        yield from value.parameters()  # type: ignore[attr-defined]
        yield from value.buffers()  # type: ignore[attr-defined]


def keeps_attributes_elsewhere(value: object) -> bool:
    """Return whether a value is a module of TorchScript, whose attributes are not in its `__dict__`."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].jit.ScriptModule)


def is_stateful_handle(value: object) -> bool:
    """Return whether a value is a variable or a mutable table of TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return False
    return isinstance(value, tensorflow.Variable | tensorflow.lookup.experimental.MutableHashTable)


def restoration_of(value: object) -> Callable[[], object] | None:
    """Return a function that gives a value its present content again, or None for a value without such content.

    Values with content are arrays of NumPy, random generators, tensors of PyTorch, variables and mutable tables of
    TensorFlow, and the additional state of a module of PyTorch. The function may be called several times.
    """
    if isinstance(value, np.ndarray):
        return _restoration_of_array(value)
    torch, tensorflow = sys.modules.get("torch"), sys.modules.get("tensorflow")
    if torch is not None and isinstance(value, torch.Tensor):
        return _restoration_of_tensor(value)
    if torch is not None and isinstance(value, torch.nn.Module):
        return _restoration_of_extra_state(value)
    if tensorflow is not None and isinstance(value, tensorflow.Variable):
        return _restoration_of_variable(value)
    if tensorflow is not None and isinstance(value, tensorflow.lookup.experimental.MutableHashTable):
        return _restoration_of_table(value)
    return restoration_of_generator(value)


def restoration_of_generator(value: object) -> Callable[[], object] | None:
    """Return a function that gives a random generator its present state again, or None for anything else."""
    if isinstance(value, np.random.Generator):
        bits, state = value.bit_generator, copy.deepcopy(value.bit_generator.state)
        return lambda: setattr(bits, "state", state)
    if isinstance(value, np.random.RandomState):
        legacy = value.get_state()
        return lambda: value.set_state(legacy)
    if isinstance(value, random.Random):
        python = value.getstate()
        return lambda: value.setstate(python)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Generator):
        tensor = value.get_state().clone()
        return lambda: value.set_state(tensor)
    return None


def generator_state(value: object) -> Any | None:
    """Return the state of a random generator as plain values and arrays of NumPy, or None for anything else."""
    if isinstance(value, np.random.Generator):
        return copy.deepcopy(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return value.get_state()
    if isinstance(value, random.Random):
        return value.getstate()
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Generator):
        return value.get_state().numpy().copy()
    return None


def set_generator_state(value: Any, state: Any) -> None:
    """Give a random generator a state that `generator_state` returned. Its tuples may have become lists."""
    if isinstance(value, np.random.Generator):
        value.bit_generator.state = state
    elif isinstance(value, np.random.RandomState):
        value.set_state(tuple(state))
    elif isinstance(value, random.Random):
        version, numbers, gauss = state
        value.setstate((version, tuple(numbers), gauss))
    else:
        value.set_state(sys.modules["torch"].from_numpy(state.copy()))


def _restoration_of_array(array: NDArray[Any]) -> Callable[[], object] | None:
    if not array.flags.writeable or isinstance(array, np.memmap) or array.nbytes > MAX_ARRAY_BYTES:
        return None
    saved = array.copy()

    def restore() -> None:
        if array.shape != saved.shape:
            array.resize(saved.shape, refcheck=False)
        array[...] = saved

    return restore


def _restoration_of_tensor(tensor: torch.Tensor) -> Callable[[], object] | None:
    import torch

    if torch.nn.parameter.is_lazy(tensor) or tensor.is_meta:
        return None
    # On the host, like the variables of Keras.
    saved, device = tensor.detach().to("cpu", copy=True), tensor.device

    def restore() -> None:
        if tensor.shape != saved.shape:
            tensor.data = torch.empty_like(saved, device=device)
        # Through `data`, since autograd refuses to change a leaf or an inference tensor in place.
        tensor.data.copy_(saved)

    return restore


def _restoration_of_extra_state(module: torch.nn.Module) -> Callable[[], object] | None:
    import torch

    if type(module).get_extra_state is torch.nn.Module.get_extra_state:
        return None
    saved = copy.deepcopy(module.get_extra_state())
    return lambda: module.set_extra_state(copy.deepcopy(saved))


def _restoration_of_variable(variable: tf.Variable) -> Callable[[], object] | None:
    if not variable.is_initialized():
        return None
    saved = variable.numpy()
    return lambda: variable.assign(saved)


def _restoration_of_table(table: tf.lookup.experimental.MutableHashTable) -> Callable[[], object]:
    keys, values = table.export()

    def restore() -> None:
        table.remove(table.export()[0])
        table.insert(keys, values)

    return restore
