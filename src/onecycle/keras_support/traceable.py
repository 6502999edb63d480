"""A momentum that Keras' SGD and RMSprop can use in a traced step, although they compare it with 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_SMALLEST_POSITIVE = float(np.finfo("float32").tiny)


def traceable_momentum(value: float | keras.KerasTensor) -> float | keras.KerasTensor | NonZeroTensor:
    """Return a momentum in a form that Keras' SGD and RMSprop can compare with 0 while their step is traced."""
    if isinstance(value, float):
        # At 0 Keras would skip the velocity altogether instead of setting it to zero.
        return max(value, _SMALLEST_POSITIVE)
    return NonZeroTensor(value)


class NonZeroTensor:
    """A scalar tensor for which `!= 0` and `> 0` are true. A tensor that is being traced has no truth value.

    Args:
        tensor: The tensor. Keras converts this object back to it in every other operation.
    """

    def __init__(self, tensor: keras.KerasTensor) -> None:
        self.tensor = tensor
        self.dtype = keras.backend.standardize_dtype(tensor.dtype)
        self.shape = tensor.shape

    def __ne__(self, other: object) -> bool:
        return True

    def __gt__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: object = None
    ) -> object:
        plain = keras.tree.map_structure(lambda one: one.tensor if isinstance(one, cls) else one, (args, kwargs or {}))
        return function(*plain[0], **plain[1])

    def __jax_array__(self) -> keras.KerasTensor:
        return self.tensor

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> keras.KerasTensor:
        import tensorflow as tf

        return self.tensor if dtype is None else tf.cast(self.tensor, dtype)
