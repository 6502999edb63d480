"""Members trained one after another by `fit`: anything that Keras can train, on any backend."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import keras
import numpy as np

from onecycle.engine.engine_output import EngineOutput
from onecycle.engine.fit_schedules import FitSchedules
from onecycle.engine.member_schedules import preserved_installation
from onecycle.engine.members import Array, Member, Weights
from onecycle.engine.shared_arguments import SharedFitArguments
from onecycle.hyperparameters.unused_optimizer import unused_optimizer_error
from onecycle.keras_support import backends, devices, training_data
from onecycle.keras_support.loss_capture import LossRecorder
from onecycle.keras_support.optimizers import build_optimizer, raw_step, skips_updates
from onecycle.keras_support.random_state import seed_generators
from onecycle.keras_support.running_fit import without_data_warnings
from onecycle.keras_support.snapshot import StateSnapshot
from onecycle.keras_support.train_function import set_steps_per_execution

History: TypeAlias = dict[str, list[float]]  # name -> one value per epoch, as `fit` returns it

TRIAL_STEPS = 16
MAX_UNREAD_LOSSES = 1024  # kept on the device before they are read


def train_by_fit(
    model: keras.Model, arguments: SharedFitArguments, members: Sequence[Member], *, weights: bool
) -> EngineOutput:
    """Train each member with a call of `fit` from the same start. The caller restores the model, also after an error.

    Args:
        model: A compiled model that has its weights.
        arguments: The arguments of `fit`.
        members: The members.
        weights: Whether to return each member's weights.

    Returns:
        The runs. Compiling is not timed separately.

    Raises:
        ValueError: If the optimizer of `compile` makes no step in the first epoch.
    """
    # A larger value set by the user stays.
    set_steps_per_execution(model, max(model.steps_per_execution, devices.fast_steps_per_execution(model)))
    build_optimizer(model.optimizer, model)
    # The start must not include the variables that record the losses and hold the learning rates.
    start, layer_variables = StateSnapshot(model), _layer_variables(model)
    losses: list[list[float]] = []
    histories: list[History] = []
    final_weights: list[Weights] = []
    with preserved_installation(model):
        schedules = FitSchedules(model, members, arguments.total_steps)
        recording = _RecordedFit(model, arguments.total_steps or MAX_UNREAD_LOSSES)
        try:
            for member in members:
                start.restore()
                _start_from(member.start, layer_variables)
                schedules.install(member)
                histories.append(recording.fit(arguments, member.seed))
                losses.append(recording.losses())
                final_weights.append(list(model.get_weights()) if weights else [])
        finally:
            recording.close()
            schedules.close()
    metrics, validation = _tables(histories, arguments.epochs)
    return EngineOutput(_padded(losses), metrics, validation, tuple(final_weights) if weights else None)


def seconds_per_fit_step(model: keras.Model, arguments: SharedFitArguments) -> float:
    """Return the seconds that a step of `fit` takes on arrays. The model is restored.

    Args:
        model: A compiled model.
        arguments: The arguments of `fit`, with arrays as data.
    """
    x, y = training_data.first_rows((arguments.x, arguments.y), TRIAL_STEPS * arguments.array_batch_size)
    start = StateSnapshot(model)
    seconds = 0.0
    for _ in range(2):  # the first call compiles
        began = time.perf_counter()
        model.fit(x, y, batch_size=arguments.batch_size, verbose=0)
        seconds = time.perf_counter() - began
        # Between the calls too: with moving averages, Keras on JAX cannot train twice, since it shares their buffers.
        start.restore()
    return seconds / training_data.count_batches(training_data.count_rows(x), arguments.array_batch_size)


class _RecordedFit(keras.callbacks.Callback):
    """Calls `fit`, records the loss of every batch, and ends it after an epoch with a loss that is not finite."""

    def __init__(self, model: keras.Model, capacity: int) -> None:
        super().__init__()
        # `self.model` is not set before `fit` starts.
        self._trained_model, self._capacity = model, min(capacity, MAX_UNREAD_LOSSES)
        self._recorder = LossRecorder(model, self._capacity + model.steps_per_execution)
        self._recorder.attach()
        self._recorded_before = self._unread = self._seed = 0
        self._wrapper: object = None
        self._first_step = raw_step(model.optimizer)

    def fit(self, arguments: SharedFitArguments, seed: int) -> History:
        """Call `fit` right after seeding and return its history."""
        self._recorded_before, self._seed = len(self._recorder.read()), seed
        seed_generators(seed)
        with without_data_warnings():
            return dict(self._trained_model.fit(**arguments.as_keywords(), verbose=0, callbacks=[self]).history)

    def losses(self) -> list[float]:
        """Return the losses of the last call."""
        return self._recorder.read()[self._recorded_before :]

    def close(self) -> None:
        """Restore the model's loss function."""
        self._recorder.detach()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if epoch == 0:
            # Again, since `fit` may have drawn a batch to build the model before the first epoch.
            seed_generators(self._seed)
        if self._trained_model.train_function is not self._wrapper:
            self._compiled_step = self._trained_model.train_function
            self._wrapper = self._trained_model.train_function = self._recorded_step

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._unread = 0
        optimizer = self._trained_model.optimizer
        if epoch == 0 and raw_step(optimizer) == self._first_step and not skips_updates(optimizer):
            raise unused_optimizer_error(self._trained_model)
        if not np.isfinite(self.losses()).all():
            self._trained_model.stop_training = True

    def _recorded_step(self, *arguments: object) -> object:
        # Recording is limited to training steps: `evaluate` computes losses too.
        self._recorder.recording = True
        try:
            result = self._compiled_step(*arguments)
        finally:
            self._recorder.recording = False
        self._unread += self._trained_model.steps_per_execution
        if self._unread > self._capacity:
            self._recorder.read(result)
            self._unread = 0
        return result


def _layer_variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.trainable_variables, *model.non_trainable_variables]


def _start_from(model: keras.Model | None, variables: Sequence[keras.Variable]) -> None:
    if model is None:
        return
    for variable, value in zip(variables, _layer_variables(model), strict=True):
        variable.assign(backends.to_numpy(value))  # a copy on the host, because JAX donates the arrays it trains on


def _tables(histories: Sequence[History], epochs: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the metrics and the validation metrics of all histories as tables of name -> (members, columns)."""
    evaluations = max((len(history.get("val_loss", ())) for history in histories), default=0)
    # A metric with several values per epoch, such as one score per class, does not fit into a table.
    names = {name: None for history in histories for name, values in history.items() if np.ndim(values) == 1}
    metrics, validation = {}, {}
    for name in names:
        rows = [history.get(name, []) for history in histories]
        if name.startswith("val_"):
            validation[name.removeprefix("val_")] = _padded(rows, evaluations)
        else:
            metrics[name] = _padded(rows, epochs)
    return metrics, validation


def _padded(rows: Sequence[Sequence[float]], min_columns: int = 0) -> Array:
    """Return rows of unequal length as one array, padded with NaN."""
    table = np.full((len(rows), max(min_columns, *map(len, rows))), np.nan)
    for padded, row in zip(table, rows, strict=True):
        padded[: len(row)] = row
    return table
