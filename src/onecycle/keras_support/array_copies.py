"""Copies of many arrays at once, on their device, and a sum of each, which shows values that are not finite."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import backends

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def arrays_of(variables: Sequence[keras.Variable]) -> list[Nested]:
    """Return the values of variables, which the next training step may change or delete."""
    # A variable that TensorFlow keeps on several devices is read on the host.
    return [backends.to_numpy(one) if _is_mirrored(one) else one.value for one in variables]


def copied(values: Sequence[Nested]) -> list[Nested]:
    """Return copies of what `arrays_of` returned."""
    if backends.name() == "jax":
        copies: list[Nested] = _jax_copies()(list(values))
        return copies
    if backends.name() == "torch":
        return [value.detach().clone() for value in values]
    import tensorflow as tf

    # TensorFlow shares the memory until the variable changes.
    return [np.array(value) if isinstance(value, np.ndarray) else tf.identity(value) for value in values]


def sums_of(values: Sequence[Nested]) -> Nested:
    """Return (n,) the sum of each array, on the device: NaN or infinite if one of its values is.

    It is computed in float32 at least, and is 0 for arrays that are not of floats.
    """
    floats = [_is_float(value.dtype) for value in values]
    if all(isinstance(value, np.ndarray) for value in values):
        with np.errstate(all="ignore"):
            return np.array(
                [value.sum(dtype="float64") if one else 0 for value, one in zip(values, floats, strict=True)]
            )
    if backends.name() == "jax":
        return _jax_sums(tuple(floats))(list(values))
    if backends.name() == "torch":
        return _torch_sums(values, floats)
    return _tensorflow_sums(tuple(floats))([value for value, one in zip(values, floats, strict=True) if one])


def read_array(array: Nested) -> NDArray[Any]:
    """Return an array of the device, for which this waits."""
    if backends.name() == "torch":
        return array.detach().cpu().numpy()
    return array if isinstance(array, np.ndarray) else keras.ops.convert_to_numpy(array)


def _is_mirrored(variable: keras.Variable) -> bool:
    if backends.name() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(variable.value, tf.distribute.DistributedValues)


@functools.cache
def _is_float(dtype: object) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(dtype))


@functools.cache
def _jax_copies() -> Callable[[list[Nested]], list[Nested]]:
    import jax

    # Without `copy`, JAX would return its input, which the next step deletes.
    program: Callable[[list[Nested]], list[Nested]] = jax.jit(lambda values: [jax.numpy.copy(one) for one in values])
    return program


@functools.cache
def _jax_sums(floats: tuple[bool, ...]) -> Callable[[list[Nested]], Nested]:
    import jax
    from jax import numpy

    def total(value: Nested, is_float: bool) -> Nested:
        if not is_float:
            return numpy.zeros((), "float32")
        return numpy.sum(value, dtype="float32" if value.dtype.itemsize < 4 else value.dtype).astype("float32")

    program: Callable[[list[Nested]], Nested] = jax.jit(
        lambda values: numpy.stack([total(*pair) for pair in zip(values, floats, strict=True)])
    )
    return program


def _torch_sums(values: Sequence[Nested], floats: Sequence[bool]) -> Nested:
    import torch

    def total(value: Nested, is_float: bool) -> Nested:
        if not is_float:
            return torch.zeros((), device=value.device)
        return value.detach().sum(dtype=torch.float32 if value.dtype.itemsize < 4 else None).float()

    return torch.stack([total(*pair) for pair in zip(values, floats, strict=True)])


@functools.cache
def _tensorflow_sums(floats: tuple[bool, ...]) -> Callable[[list[Nested]], Nested]:
    import tensorflow as tf

    def total(value: Nested) -> Nested:
        value = tf.cast(value, tf.float32) if value.dtype.size < 4 else value
        return tf.cast(tf.reduce_sum(value), tf.float32)

    places = np.flatnonzero(floats)

    @tf.function(autograph=False, reduce_retracing=True)
    def program(values: list[Nested]) -> Nested:
        found = tf.stack([total(value) for value in values])
        return tf.scatter_nd(places[:, None], found, [len(floats)])

    return program
