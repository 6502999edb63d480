"""The true loss of every training batch, kept on the device and read back in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_quietly, unset_quietly
from onecycle.keras_support.model_state import carry_variable, drop_variable, keeps_what_is_assigned


class LossRecorder:
    """Keeps the loss of each training step in a small register that travels with the model's state.

    What Keras reports as `loss` is a running mean over the epoch, in which one batch can hardly be told. Here
    `compute_loss` is wrapped on the model, and its value is shifted into a non-trainable variable inside the compiled
    step. One variable holds all, the count of steps in front: on JAX each one more costs some microseconds a step. On
    PyTorch, which runs the step in Python, the losses are kept as they are.

    Args:
        model: The model to record.
        capacity: Steps that the register holds; it must be read at least so often.
    """

    def __init__(self, model: Any, capacity: int) -> None:
        self._model = model
        self._compute_loss = model.compute_loss
        self._losses: list[float] = []
        self._kept: list[Any] = []
        self._in_python = backends.steps_in_python()
        with backends.placement(model):
            self._register = None if self._in_python else _register(capacity)
        self.recording = False

    def attach(self) -> None:
        """Start recording whatever step is traced or run while `recording` is set."""
        if backends.carries_state():
            carry_variable(self._model, self._register)
        self._own = {name: value for name, value in vars(self._model).items() if name == "compute_loss"}
        set_quietly(self._model, compute_loss=self._recorded_loss)

    def detach(self) -> None:
        """Leave the model as it was."""
        unset_quietly(self._model, "compute_loss")
        set_quietly(self._model, **self._own)
        drop_variable(self._model, self._register)

    def steps(self) -> int:
        """Number of steps recorded so far, asked while no step runs."""
        return len(self.read())

    def read(self, result: Any = None) -> list[float]:
        """The losses of all batches so far, a list that grows; `result` is what `model.train_function` returned."""
        if self._in_python:
            self._losses += backends.stacked(self._kept)
            self._kept.clear()
        else:
            count, *newest = backends.variable_after_step(self._model, self._register, result).tolist()
            # Every replica has counted, and has its share of each loss; both were summed when the register was read.
            steps = round(count / backends.replicas(self._model))
            self._losses += newest[len(newest) - (steps - len(self._losses)) :]
        return self._losses

    def _recorded_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = self._compute_loss(*args, **kwargs)
        if self.recording:
            if backends.carries_state() and not keeps_what_is_assigned():
                raise ValueError(_STATE_IS_LOST.format(kind=type(self._model).__name__))
            self._keep(keras.ops.stop_gradient(loss))
        return loss

    def _keep(self, loss: Any) -> None:
        ops = keras.ops
        loss = ops.mean(loss) if len(loss.shape) else loss
        if self._register is None:
            self._kept.append(loss)
            return
        register = ops.convert_to_tensor(self._register)
        newest = ops.reshape(ops.cast(loss, "float32"), (1,))
        self._register.assign(ops.concatenate([register[:1] + 1.0, register[2:], newest]))


def _register(capacity: int) -> Any:
    return keras.Variable(
        initializer="zeros",
        shape=(1 + capacity,),
        dtype="float32",
        trainable=False,
        autocast=False,
        aggregation="sum",
        synchronization="on_read",
        name="onecycle_losses",
    )


_STATE_IS_LOST = (
    "The `train_step` of {kind} calls `compute_loss` where JAX keeps no state, so no loss can be recorded. "
    "Have it call `self.compute_loss_and_updates(...)`, as Keras' own `train_step` does, and pass on the "
    "non-trainable variables that it returns."
)


@contextmanager
def losses_told(model: Any) -> Iterator[list[Any]]:
    """What the model's `compute_loss` returns within the block."""
    losses: list[Any] = []
    compute_loss, own = model.compute_loss, vars(model).get("compute_loss")

    def told(*args: Any, **kwargs: Any) -> Any:
        losses.append(compute_loss(*args, **kwargs))
        return losses[-1]

    set_quietly(model, compute_loss=told)
    try:
        yield losses
    finally:
        unset_quietly(model, "compute_loss")
        if own is not None:
            set_quietly(model, compute_loss=own)
