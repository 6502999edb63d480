"""One run: an arm trained with a seed on a new model. Its result is a record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import keras

from onecycle.comparison.arms import Arm
from onecycle.comparison.epoch_recorder import EpochRecorder
from onecycle.comparison.errors import BuildError
from onecycle.comparison.provenance import package_versions
from onecycle.comparison.splits import Data, TrainingSplit, data_for_seed, validation_argument
from onecycle.finding.range_test import find_learning_rate
from onecycle.keras_support import backends, training_data
from onecycle.keras_support.fit_start import build_model
from onecycle.keras_support.identity import data_digest, digest, weights_digest
from onecycle.keras_support.origin import machine_description
from onecycle.keras_support.random_state import seed_generators
from onecycle.keras_support.types import Nested
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.results.runs import RunRecord
from onecycle.training.reporting import numeric_columns

RECORD_FORMAT = 1  # part of every identity: raised when the same settings would give another record
RANGE_TEST_STEPS: int = inspect.signature(find_learning_rate).parameters["num_steps"].default

RunKey: TypeAlias = tuple[str, int]  # (arm, seed)


@dataclass(frozen=True)
class SharedSettings:
    """What all runs of a comparison share.

    Attributes:
        build: Function that returns a new compiled model.
        data: `((x, y), (x_val, y_val))`, or a function of the seed that returns that.
        epochs: Epochs of the arms that do not set their own.
        batch_size: Batch size of the arms that do not set their own. None for data sets, which come in batches.
        identity_data: The identities of model and data, as plain data. They are part of every run's identity.
    """

    build: Callable[[], keras.Model]
    data: Data
    epochs: int
    batch_size: int | None
    identity_data: Mapping[str, object]

    def config(self, arm: Arm) -> dict[str, object]:
        """Return the settings of an arm's runs, as plain data."""
        return {
            **arm.config(),
            "epochs": self.epochs_of(arm),
            "batch_size": self.batch_size_of(arm),
            "backend": backends.name(),
        }

    def epochs_of(self, arm: Arm) -> int:
        """Return the epochs of an arm's runs."""
        return arm.epochs or self.epochs

    def batch_size_of(self, arm: Arm) -> int | None:
        """Return the batch size of an arm's runs, or None for data sets."""
        return arm.batch_size or self.batch_size

    def identity(self, arm: Arm, seed: int) -> str:
        """Return the hash of all that a run depends on: neither other arms and seeds nor the metric are part of it."""
        return digest([RECORD_FORMAT, arm.name, seed, self.config(arm), self.identity_data])


@dataclass(frozen=True)
class TrainedRun:
    """A run that has just ended, without what its record takes from the settings and the machine.

    Attributes:
        config: Settings of the run and the digests of its start, as plain data.
        history: Metric name -> value after each epoch.
        steps: Training steps by the end of each epoch.
        samples: Samples trained on by the end of each epoch. Empty where they cannot be counted.
        seconds: Seconds by the end of each epoch.
        finder: Cost of finding the learning rate, see `finder_cost`.
        diverged: Epoch, counted from 1, whose loss was not finite, or None.
    """

    config: Mapping[str, object]
    history: Mapping[str, Sequence[object]]
    steps: list[int]
    samples: list[int]
    seconds: list[float]
    finder: Mapping[str, object]
    diverged: int | None


def train_run(settings: SharedSettings, arm: Arm, seed: int) -> RunRecord:
    """Train one arm with one seed from the beginning, and return the record.

    All random generators are seeded before the data is read, before `build()` and before training. So every arm of a
    seed starts with the same weights and sees the same batches (of its batch size), whatever random numbers its finder
    draws in between.

    Args:
        settings: What all runs share.
        arm: The arm.
        seed: The seed.

    Raises:
        RuntimeError: For any error in the run, with the name of the arm and the seed.
    """
    try:
        return run_record(settings, arm, seed, _trained(settings, arm, seed))
    except Exception as error:
        raise RuntimeError(f"Arm {arm.name!r} with seed {seed}: {type(error).__name__}: {error}") from error


def run_record(settings: SharedSettings, arm: Arm, seed: int, run: TrainedRun) -> RunRecord:
    """Return the record of a run that has just ended in this process.

    Args:
        settings: What all runs share.
        arm: The arm of the run.
        seed: The seed of the run.
        run: The run.
    """
    return RunRecord(
        arm=arm.name,
        seed=seed,
        identity=settings.identity(arm, seed),
        config=run.config,
        history={name: list(values) for name, values in numeric_columns(run.history).items()},
        steps=run.steps,
        samples=run.samples,
        seconds=run.seconds,
        finder=run.finder,
        diverged=run.diverged,
        versions=package_versions(),
        machine=machine_description(),
    )


def start_run(
    settings: SharedSettings, arm: Arm, seed: int, data: TrainingSplit
) -> tuple[keras.Model, dict[str, object]]:
    """Return a run's model before training, and the run's settings with the digests of its start.

    Args:
        settings: What all runs share.
        arm: The arm of the run.
        seed: The seed of the run.
        data: The data for this seed.
    """
    (x, y), validation = data
    model = build_with_seed(settings.build, seed)
    arm.use_optimizer(model)
    build_model(model, x, y, batch_size=settings.batch_size_of(arm))
    return model, settings.config(arm) | start_digests(model, x, y, validation)


def start_digests(model: keras.Model, x: Nested, y: Nested, validation: Nested) -> dict[str, str | None]:
    """Return the digests of a run's initial weights and of its data.

    Args:
        model: The model before training.
        x: Training data.
        y: Targets, or None.
        validation: The validation data.
    """
    return {"initial_weights": weights_digest(model), "data": data_digest((x, y, validation))}


def build_with_seed(build: Callable[[], keras.Model], seed: int) -> keras.Model:
    """Seed all random generators and return the model that `build()` returns.

    Raises:
        BuildError: If that is not a compiled model.
    """
    seed_generators(seed)
    model = build()
    if not isinstance(model, keras.Model) or not model.compiled or model.optimizer is None:
        raise BuildError(
            "Argument `build` must be a function that returns a compiled keras.Model. "
            f"Received: build() -> {type(model).__name__}"
        )
    return model


def finder_cost(result: RangeTest | Race | None, seconds: float) -> dict[str, object]:
    """Return what finding the learning rate cost and found; empty if there was no search.

    Args:
        result: Result of the range test or the race, or None.
        seconds: Seconds that finding the learning rate took.
    """
    if result is None:
        return {}
    if isinstance(result, Race):
        reason, steps = result.reason, round(result.cost * result.total_steps)
    else:
        # A test of another length is the second one, after a first that suggested nothing. Of the first only the
        # largest possible number of steps is known.
        first = 0 if result.num_steps == RANGE_TEST_STEPS else RANGE_TEST_STEPS
        # Batches, as the steps of the training are counted, and those after a divergence too.
        batches = result.gradient_accumulation_steps or 1
        steps = (result.training_steps or len(result.learning_rates) * batches) + first * batches
        reason = result.suggestion.reason
    return {"learning_rate": result.learning_rate, "reason": reason, "steps": steps, "seconds": seconds}


def _trained(settings: SharedSettings, arm: Arm, seed: int) -> TrainedRun:
    (x, y), validation = data = data_for_seed(settings.data, seed)
    model, config = start_run(settings, arm, seed, data)
    # Once more, since building the model drew random numbers.
    seed_generators(seed)
    recorder = EpochRecorder(training_data.count_rows(x) if training_data.is_arrays(x) else None)
    history = arm.train(
        model,
        x,
        y,
        seed=seed,
        epochs=settings.epochs_of(arm),
        batch_size=settings.batch_size_of(arm),
        validation_data=validation_argument(validation),
        callbacks=[recorder],
        verbose=0,
    )
    # Set by `fit_one_cycle`, not by a plain `fit`.
    report = getattr(history, "onecycle", None)
    return TrainedRun(
        config=config,
        history=recorder.in_every_epoch(history.history),
        steps=recorder.steps,
        samples=recorder.samples,
        seconds=recorder.seconds,
        # Until the first epoch of the training itself. Compilation for the finder is part of its cost.
        finder=finder_cost(report and report.evidence, recorder.seconds_before_training),
        diverged=recorder.diverged,
    )
