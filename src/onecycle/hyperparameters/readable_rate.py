"""A scheduled learning rate as it is read between steps."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray


class ReadableRate(float):
    """A learning rate that can be read in every way in which the variable in its place can be read.

    Experiment trackers read `optimizer.learning_rate` as a float, by `.numpy()`, or by functions of the backend. It
    cannot be assigned to, which would have no effect.
    """

    shape = ()
    ndim = 0

    @property
    def dtype(self) -> str:
        """The type that Keras gives to a learning rate."""
        return str(keras.config.floatx())

    @property
    def value(self) -> keras.KerasTensor:
        """The rate as a tensor."""
        return keras.ops.convert_to_tensor(float(self), self.dtype)

    def numpy(self) -> NDArray[np.generic]:
        """Return the rate as an array without axes."""
        return keras.ops.convert_to_numpy(self.value)
