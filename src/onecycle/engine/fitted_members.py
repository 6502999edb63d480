"""Members trained one after the other by `fit`, from the same start: anything Keras can train, on any backend."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from onecycle.engine import member_schedules
from onecycle.engine.members import Array, Member
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support import backends, training_data
from onecycle.keras_support.loss_capture import LossRecorder
from onecycle.keras_support.optimizers import build_optimizer, carry_with_optimizer, drop_from_optimizer, raw_step
from onecycle.keras_support.snapshot import VariableSnapshot
from onecycle.keras_support.train_function import make_train_function_anew, set_steps_per_execution

TRIAL_STEPS = 16
MOST_RECORDED = 1024  # losses on the device before they are read


@dataclass(frozen=True)
class Fitted:
    """What the calls of `fit` gave: see `MemberRuns`."""

    losses: Array
    metrics: dict[str, Array]
    validation: dict[str, Array]
    weights: tuple[list[Any], ...] | None


def fitted(model: Any, fit: dict[str, Any], members: Sequence[Member], *, weights: bool) -> Fitted:
    """Train all members; the caller puts the model back.

    Args:
        fit: The arguments of `fit`.
    """
    fast = backends.fast_steps_per_execution(model)
    set_steps_per_execution(model, max(model.steps_per_execution, fast))
    build_optimizer(model.optimizer, model)
    start, own = VariableSnapshot(model), _of_layers(model)  # as yet without what records the losses
    losses, histories, found = [], [], []
    with member_schedules.borrowed(model):
        dials, recording = _Dials(model, members, _steps(fit)), _Recording(model, _steps(fit) or MOST_RECORDED)
        try:
            for member in members:
                start.restore()
                if member.start is not None:
                    for variable, value in zip(own, _of_layers(member.start), strict=True):
                        variable.assign(backends.to_numpy(value))  # JAX donates what it trains on
                dials.turn_to(member)
                histories.append(recording.fit(fit, member.seed))
                losses.append(recording.losses())
                found.append(list(model.get_weights()) if weights else [])
        finally:
            recording.end()
            dials.end()
    metrics = {name: column for name, column in _table(histories, fit["epochs"]).items() if name[:4] != "val_"}
    evaluations = max((len(own.get("val_loss", ())) for own in histories), default=0)
    validation = {name[4:]: own for name, own in _table(histories, evaluations).items() if name[:4] == "val_"}
    return Fitted(_stacked(losses), metrics, validation, tuple(found) if weights else None)


def seconds_of_fit(model: Any, fit: dict[str, Any]) -> float:
    """What a step of `fit` takes, of arrays, in seconds; the model is put back."""
    rows = TRIAL_STEPS * (fit["batch_size"] or training_data.DEFAULT_BATCH_SIZE)
    x, y = keras.tree.map_structure(lambda whole: None if whole is None else whole[:rows], (fit["x"], fit["y"]))
    start = VariableSnapshot(model)
    taken = []
    for _ in range(2):  # the first compiles
        began = time.perf_counter()
        model.fit(x, y, batch_size=fit["batch_size"], verbose=0)
        taken.append(time.perf_counter() - began)
        start.restore()  # each time: on JAX Keras cannot train twice with moving averages, whose buffers it shares
    return taken[-1] / -(-training_data.rows(x) // (fit["batch_size"] or training_data.DEFAULT_BATCH_SIZE))


def _of_layers(model: Any) -> list[Any]:
    return [*model.trainable_variables, *model.non_trainable_variables]


class _Dials:
    """The learning rate as a table in a variable, so that the next member needs no new trace; momentum is traced."""

    def __init__(self, model: Any, members: Sequence[Member], steps: int | None) -> None:
        self._model, self._steps = model, steps
        self._first = raw_step(model.optimizer)
        self._own = member_schedules.own_momentum(model.optimizer, members)
        length = steps if any(callable(member.learning_rate) for member in members) else 1
        self._table = None if length is None else _Table(model, self._first, length)
        self._traced: Any = None

    def turn_to(self, member: Member) -> None:
        """Let the next `fit` train with the member's learning rate and momentum."""
        rate: Any = member_schedules.from_step(member.learning_rate, self._first)
        if self._table is not None:
            self._table.fill(member_schedules.values(member.learning_rate, self._table.steps))
            rate = self._table
        momentum = self._own if member.momentum is None else member.momentum
        traced: Any = [] if momentum is None else member_schedules.values(momentum, self._steps or 1)
        known = self._table is not None and not (callable(momentum) and self._steps is None)
        if known and self._traced is not None and np.array_equal(self._traced, traced):
            return
        later = None if momentum is None else member_schedules.from_step(momentum, self._first)
        schedule_hyperparameters(self._model, learning_rate=rate, momentum=later)
        # JAX would take the trace of an earlier call, with its momentum, for that of this one.
        make_train_function_anew(self._model, self._model.make_train_function)
        self._traced = traced

    def end(self) -> None:
        """Take the table out of the optimizer's state."""
        if self._table is not None and backends.carries_state():
            drop_from_optimizer(self._model.optimizer, self._table.variable)


class _Table(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose values can be exchanged after the step was traced."""

    def __init__(self, model: Any, first: int, steps: int) -> None:
        self.steps, self._first = steps, first
        self._values = np.zeros(steps, "float32")
        with backends.placement(model):
            self.variable = keras.Variable(self._values, trainable=False, autocast=False, name="onecycle_rates")
        if backends.carries_state():
            carry_with_optimizer(model.optimizer, self.variable)

    def fill(self, values: Any) -> None:
        self._values = values
        self.variable.assign(values)

    def __call__(self, step: Any) -> Any:
        row = ops.clip(ops.convert_to_tensor(step) - self._first, 0, self.steps - 1)
        return ops.take(self.variable, row)

    def value_at(self, step: int) -> float:
        return float(self._values[min(max(step - self._first, 0), self.steps - 1)])


class _Recording(keras.callbacks.Callback):
    """Keeps every batch's loss of the calls of `fit`, and ends one whose loss is not finite."""

    def __init__(self, model: Any, capacity: int) -> None:
        super().__init__()
        self._model_, self._capacity = model, min(capacity, MOST_RECORDED)
        self._recorder = LossRecorder(model, self._capacity + model.steps_per_execution)
        self._recorder.attach()
        self._before = self._unread = 0
        self._wrapped: Any = None

    def fit(self, arguments: dict[str, Any], seed: int) -> dict[str, Any]:
        """The history of one call of `fit` with the seed."""
        self._before, self._seed = len(self._recorder.read()), seed
        keras.utils.set_random_seed(seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Your input ran out of data")  # of unknown length
            warnings.filterwarnings(
                "ignore", message="`shuffle=True` was passed, but will be ignored"
            )  # Keras' default
            return dict(self._model_.fit(**arguments, verbose=0, callbacks=[self]).history)

    def losses(self) -> list[float]:
        """Those of the last call."""
        return self._recorder.read()[self._before :]

    def end(self) -> None:
        """Leave the model's loss as it was."""
        self._recorder.detach()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            keras.utils.set_random_seed(self._seed)  # once more: `fit` draws a batch to build what is not built
        if self._model_.train_function is not self._wrapped:
            self._compiled = self._model_.train_function
            self._wrapped = self._model_.train_function = self._step

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._unread = 0
        if not np.isfinite(self.losses()).all():
            self._model_.stop_training = True

    def _step(self, *arguments: Any) -> Any:
        self._recorder.recording = True
        try:
            result = self._compiled(*arguments)
        finally:
            self._recorder.recording = False
        self._unread += self._model_.steps_per_execution
        if self._unread > self._capacity:
            self._recorder.read(result)
            self._unread = 0
        return result


def _steps(fit: dict[str, Any]) -> int | None:
    """Steps of one call of `fit`, where they are known."""
    if training_data.is_arrays(fit["x"]):
        return (
            -(-training_data.rows(fit["x"]) // (fit["batch_size"] or training_data.DEFAULT_BATCH_SIZE)) * fit["epochs"]
        )
    try:
        return len(fit["x"]) * fit["epochs"]
    except TypeError:
        return None


def _table(histories: Sequence[dict[str, Any]], length: int) -> dict[str, Array]:
    # A score for each class has no place in a table.
    names = {name: None for history in histories for name, values in history.items() if np.ndim(values) == 1}
    return {name: _stacked([history.get(name, ()) for history in histories], length) for name in names}


def _stacked(rows: Sequence[Any], length: int = 0) -> Array:
    """Rows of unequal length side by side, filled with NaN."""
    found = np.full((len(rows), max(length, *map(len, rows))), np.nan)
    for row, own in zip(found, rows, strict=True):
        row[: len(own)] = own
    return found
