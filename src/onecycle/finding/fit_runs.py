"""Runs of a ramp in calls of `fit`, for all data and models that Keras can train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import keras
import numpy as np

from onecycle.finding.progress import RampProgress
from onecycle.finding.ramp import FinishedRamp, Ramp
from onecycle.finding.ramp_in_fit import RampInFit
from onecycle.keras_support import devices, training_data
from onecycle.keras_support.data_checks import batches_required
from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.optimizers import skips_updates
from onecycle.keras_support.random_state import seed_generators
from onecycle.keras_support.running_fit import without_data_warnings
from onecycle.keras_support.snapshot import StateSnapshot
from onecycle.keras_support.train_function import set_steps_per_execution
from onecycle.keras_support.types import Nested
from onecycle.suggestions.arguments import check_integer

FitData: TypeAlias = Mapping[str, Nested]  # x, y, batch_size, sample_weight and class_weight, as `fit` takes them


def run_in_fit(
    model: keras.Model,
    ramp: Ramp,
    data: FitData,
    validation_data: tuple[Nested, ...] | None,
    progress: RampProgress,
    seeds: Sequence[int | None],
) -> list[FinishedRamp]:
    """Run the ramp once for each seed, each in a call of `fit` from the same state.

    Args:
        model: The compiled model.
        ramp: The learning rates.
        data: The data, as `fit` takes it.
        validation_data: Data whose loss, after every step, is the loss of the test; or None.
        progress: Shows the progress.
        seeds: For each run the seed of its data order, or None.

    Raises:
        ValueError: If the data has no batches.
    """
    start = StateSnapshot(model)
    runs: list[FinishedRamp] = []
    for seed in seeds:
        start.restore()
        progress.begin()
        run = RampInFit(
            model,
            ramp,
            after_read=progress.update,
            validation_loss=None if validation_data is None else lambda: _evaluate(model, validation_data),
        )
        _fit(model, run, ramp, data, seed)
        runs.append(run)
    return runs


def _fit(model: keras.Model, run: RampInFit, ramp: Ramp, data: FitData, seed: int | None) -> None:
    callback = _RampCallback(run, one_epoch=training_data.is_one_shot(data["x"]), seed=seed)
    try:
        with without_data_warnings(), batches_required(data["x"]):
            set_seed(seed)
            # An epoch has at least one step, so this many epochs are enough; the run ends `fit` itself.
            model.fit(
                **needed_rows(data, ramp.total_steps, seed), epochs=ramp.total_steps, verbose=0, callbacks=[callback]
            )
    finally:
        close_ended_fit(model)


def needed_rows(data: FitData, steps: int, seed: int | None) -> FitData:
    """Return the random rows of large arrays that a test trains on; other data unchanged.

    Keras reads large arrays as a whole on TensorFlow. The rows are in their order, in which a file is read fastest:
    `fit` shuffles them.

    Args:
        data: The data, as `fit` takes it.
        steps: Number of steps.
        seed: Seed of the choice, or None for NumPy's global generator.
    """
    arrays = data["x"], data["y"], data["sample_weight"]
    if not training_data.is_arrays(arrays) or not training_data.is_large(arrays):
        return data
    rows, needed = training_data.count_rows(arrays), steps * (data["batch_size"] or training_data.DEFAULT_BATCH_SIZE)
    if rows <= needed:
        return data
    permutation = np.random.permutation if seed is None else np.random.RandomState(seed).permutation
    x, y, sample_weight = training_data.select_rows(arrays, np.sort(permutation(rows)[:needed]))
    return {**data, "x": x, "y": y, "sample_weight": sample_weight}


class _RampCallback(keras.callbacks.Callback):
    """Starts the ramp when the first epoch begins, and ends a `fit` that has no data left.

    After the end of a generator, Keras runs further epochs on the two batches that it drew to inspect the data.
    """

    def __init__(self, run: RampInFit, *, one_epoch: bool, seed: int | None) -> None:
        super().__init__()
        self._run = run
        self._one_epoch = one_epoch
        self._seed = seed
        self._started = False
        self._calls_before = -1

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if not self._started:
            set_seed(self._seed)  # again, since `fit` may have drawn batches to build the model
            self._run.start()
            self._started = True

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._one_epoch or self._run.calls == self._calls_before:
            self.model.stop_training = True
        self._calls_before = self._run.calls

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._run.finish()


def set_seed(seed: int | None) -> None:
    """Seed all random generators, if there is a seed."""
    if seed is not None:
        seed_generators(seed)


def _evaluate(model: keras.Model, data: tuple[Nested, ...]) -> float:
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    scores = model.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=True)
    return float(scores["loss"])


def choose_steps_per_execution(model: keras.Model, steps: int | str | None, *, validates: bool) -> None:
    """Set how many steps a call of the compiled function runs.

    Args:
        model: The compiled model.
        steps: As in `find_learning_rate`.
        validates: Whether validation data is evaluated after every step.
    """
    # Both need the state after each single step.
    if validates or skips_updates(model.optimizer):
        set_steps_per_execution(model, 1)
    elif steps == "auto":
        fast = devices.fast_steps_per_execution(model)
        set_steps_per_execution(model, max(model.steps_per_execution, fast))
    elif steps is not None:
        set_steps_per_execution(model, check_integer("steps_per_execution", steps))
