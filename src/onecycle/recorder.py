"""The true loss of every training batch, kept on the device and read back in chunks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle import backends
from onecycle import keras_internals as internals


class LossRecorder:
    """Writes the loss of each training step into a small ring buffer that travels with the model's state.

    What Keras reports as `loss` is a running mean over the epoch, in which one batch can hardly be told. Here
    `compute_loss` is wrapped on the model, and its value goes into a non-trainable variable inside the compiled step.

    Args:
        model: The model to record.
        capacity: Steps that the buffer holds; it must be read at least so often.
    """

    def __init__(self, model: Any, capacity: int) -> None:
        self._model = model
        self._compute_loss = model.compute_loss
        self._capacity = capacity
        self._read: list[float] = []
        # Under tf.distribute every replica has its share of the batch's loss, to be summed when it is read.
        with backends.placement(model):
            self._losses = _variable("onecycle_losses", (capacity,), "float32", "sum")
            self._count = _variable("onecycle_count", (), "int32", "only_first_replica")
        self.recording = False

    def attach(self) -> None:
        """Start recording whatever step is traced or run while `recording` is set."""
        if backends.carries_state():
            internals.carry_variable(self._model, self._losses)
            internals.carry_variable(self._model, self._count)
        self._own = {name: value for name, value in vars(self._model).items() if name == "compute_loss"}
        internals.set_quietly(self._model, compute_loss=self._recorded_loss)

    def detach(self) -> None:
        """Leave the model as it was."""
        internals.unset_quietly(self._model, "compute_loss")
        internals.set_quietly(self._model, **self._own)
        internals.drop_variable(self._model, self._losses)
        internals.drop_variable(self._model, self._count)

    def steps(self) -> int:
        """Number of steps recorded so far, asked while no step runs."""
        return int(backends.to_numpy(self._count))

    def read(self, result: Any = None) -> NDArray[np.float64]:
        """The losses of all batches so far; `result` is what `model.train_function` has just returned, if it has."""
        count = int(backends.variable_after_step(self._model, self._count, result))
        ring = backends.variable_after_step(self._model, self._losses, result)
        self._read += [float(ring[step % self._capacity]) for step in range(len(self._read), count)]
        return np.array(self._read, dtype=np.float64)

    def _recorded_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = self._compute_loss(*args, **kwargs)
        if self.recording:
            if backends.carries_state() and not internals.keeps_what_is_assigned():
                raise ValueError(_STATE_IS_LOST.format(kind=type(self._model).__name__))
            self._write(loss)
        return loss

    def _write(self, loss: Any) -> None:
        ops = keras.ops
        value = ops.mean(ops.cast(ops.stop_gradient(loss), "float32"))
        count = ops.convert_to_tensor(self._count)
        here = ops.equal(np.arange(self._capacity, dtype="int32"), count % self._capacity)
        self._losses.assign(ops.where(here, value, ops.convert_to_tensor(self._losses)))
        self._count.assign(backends.computed_after(value, count + 1))


def _variable(name: str, shape: tuple[int, ...], dtype: str, aggregation: str) -> Any:
    return keras.Variable(
        initializer="zeros",
        shape=shape,
        dtype=dtype,
        trainable=False,
        autocast=False,
        aggregation=aggregation,
        synchronization="on_read" if aggregation == "sum" else "auto",
        name=name,
    )


_STATE_IS_LOST = (
    "The `train_step` of {kind} calls `compute_loss` where JAX keeps no state, so no loss can be recorded. "
    "Have it call `self.compute_loss_and_updates(...)`, as Keras' own `train_step` does, and pass on the "
    "non-trainable variables that it returns."
)
