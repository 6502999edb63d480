"""State of a model that is not in Keras' variables: in modules, variables and tables of PyTorch and TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import keras


def is_module(value: object) -> bool:
    """Return whether a value is a module of PyTorch, or on TensorFlow an object that tracks variables."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return isinstance(value, tf.__internal__.tracking.AutoTrackable)
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].nn.Module)


def tensors_of_module(value: object) -> Iterator[object]:
    """Return the parameters and buffers of a module of PyTorch itself, which TorchScript keeps outside attributes."""
    if "torch" in sys.modules and isinstance(value, sys.modules["torch"].jit.ScriptModule):
        yield from value.parameters()
        yield from value.buffers()
