"""The loss of every single training batch, kept on the device and read in chunks.

The `loss` that Keras reports is a running mean over the epoch, in which a single batch is hardly visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import keras
import numpy as np

from onecycle.keras_support import backends, batch_facts, devices, step_state
from onecycle.keras_support.attributes import AttributeOverride
from onecycle.keras_support.batch_facts import BatchFacts
from onecycle.keras_support.model_state import add_state_variable, in_stateless_scope, remove_state_variable

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


_ARGUMENTS = ("x", "y", "y_pred", "sample_weight", "training")  # of `compute_loss`


@contextmanager
def captured_losses(model: keras.Model) -> Iterator[list[keras.KerasTensor]]:
    """Collect what the model's `compute_loss` returns within the block."""
    losses: list[keras.KerasTensor] = []
    with _observed_loss(model, lambda loss, _: losses.append(loss)):
        yield losses


class LossRecorder:
    """Records the loss of each training step in one variable that travels with the model's state.

    `compute_loss` is wrapped on the model, and its value is shifted into a non-trainable variable inside the compiled
    step. A single variable holds the count of steps and the losses, since on JAX each variable costs a few
    microseconds per step. On PyTorch, which runs the step in Python, the losses are kept in a list.

    Args:
        model: The model to record.
        capacity: Number of losses that the variable holds. `read` must be called at least once in this number of steps.
        facts: Whether to record `batch_facts` beside each loss.
        required: Whether a loss that cannot be recorded is an error; it is left out otherwise.

    Attributes:
        recording: Whether losses are recorded. It takes effect when a step is traced or, on PyTorch, run.
    """

    def __init__(self, model: keras.Model, capacity: int, *, facts: bool = False, required: bool = True) -> None:
        self._model = model
        self._required = required
        self._width = 1 + (batch_facts.WIDTH if facts else 0)  # numbers recorded in each step
        self._losses: list[float] = []
        self._rows: list[list[float]] = []
        self._unread: list[tuple[keras.KerasTensor, Nested]] = []  # loss and facts, on PyTorch only
        with devices.strategy_scope(model):
            self._register = None if backends.runs_eagerly() else _register(capacity * self._width)
        self.recording = False
        # Here, so that `detach` does its part whatever part of `attach` an interrupt has left out.
        self._functions = _functions_for_other_state(model)
        self._override = _observed_loss(model, self._record)

    @property
    def has_facts(self) -> bool:
        """Whether facts are recorded beside the losses."""
        return self._width > 1

    def attach(self) -> None:
        """Start recording in every step that is traced or run while `recording` is set."""
        if backends.is_functional():
            add_state_variable(self._model, self._register)
        self._functions.apply()
        self._override.apply()

    def detach(self) -> None:
        """Leave the model as it was before `attach`."""
        self._override.undo()
        self._functions.undo()
        remove_state_variable(self._model, self._register)

    def read(self, result: Nested = None) -> list[float]:
        """Return the losses of all batches so far.

        Args:
            result: What `model.train_function` returned, while `fit` is running.

        Returns:
            A list that grows with each call.
        """
        if self._register is None:
            rows = self._read_list()
        else:
            count, *newest = step_state.variable_after_step(self._model, self._register, result).tolist()
            # Each replica counts the steps and holds its share of each loss. Both are summed when the variable is read.
            steps = round(count / devices.count_replicas(self._model))
            # The newest rows are at the end of the variable.
            unread = (steps - len(self._losses)) * self._width
            rows = np.reshape(newest[len(newest) - unread :], (-1, self._width)).tolist()
        self._losses += [row[0] for row in rows]
        self._rows += [row[1:] for row in rows]
        return self._losses

    def _read_list(self) -> list[list[float]]:
        losses = backends.read_numbers([loss for loss, _ in self._unread])
        facts = [facts if isinstance(facts, list) else keras.ops.convert_to_numpy(facts) for _, facts in self._unread]
        self._unread.clear()
        return [[loss, *more] for loss, more in zip(losses, facts, strict=True)]

    def facts(self, steps: int) -> BatchFacts:
        """Return what was recorded on the first `steps` batches, whose losses have been read."""
        table = np.array(self._rows[:steps], dtype=np.float64).reshape(-1, self._width - 1)
        return BatchFacts.from_table(table, devices.count_replicas(self._model))

    def _record(self, loss: keras.KerasTensor, arguments: Mapping[str, Nested]) -> None:
        if not self.recording:
            return
        if backends.is_functional() and not in_stateless_scope():
            if not self._required:
                return
            raise ValueError(_LOST_STATE.format(kind=type(self._model).__name__))
        ops = keras.ops
        loss = ops.stop_gradient(loss)
        loss = ops.cast(ops.mean(loss) if len(loss.shape) else loss, "float32")
        facts = batch_facts.batch_facts(arguments, loss) if self._width > 1 else []
        if self._register is None:
            self._unread.append((loss, facts))
            return
        row = ops.concatenate([ops.reshape(loss, (1,)), *([facts] if self._width > 1 else [])])
        register = ops.convert_to_tensor(self._register)
        # The first entry counts; the others move up by one row.
        self._register.assign(ops.concatenate([register[:1] + 1.0, register[1 + self._width :], row]))


def _observed_loss(
    model: keras.Model, observe: Callable[[keras.KerasTensor, Mapping[str, Nested]], None]
) -> AttributeOverride:
    """Return an override that passes every loss that the model computes, and the arguments by name, to `observe`."""
    compute_loss = model.compute_loss

    def observed(*args: object, **kwargs: object) -> keras.KerasTensor:
        loss = compute_loss(*args, **kwargs)
        observe(loss, dict(zip(_ARGUMENTS, args, strict=False)) | kwargs)
        return loss

    return AttributeOverride(model, compute_loss=observed)


def _functions_for_other_state(model: keras.Model) -> AttributeOverride:
    """Return an override that has the functions for evaluation made again, where the state has a new variable.

    Under a distribution, Keras compiles them on JAX for the devices of each variable that the state had.
    """
    if not backends.is_functional() or not devices.is_distributed(model):
        return AttributeOverride(model)
    return AttributeOverride(model, test_function=None, predict_function=None)


def _register(capacity: int) -> keras.Variable:
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


_LOST_STATE = (
    "The `train_step` of {kind} calls `compute_loss` outside a stateless scope, so no loss can be recorded. "
    "Have it call `self.compute_loss_and_updates(...)`, as Keras' own `train_step` does, and pass on the "
    "non-trainable variables that it returns."
)
