"""The arguments of a race, and their checks before any training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.finding.race_candidates import Candidates, checked_candidates
from onecycle.finding.race_data import monitor_mode
from onecycle.hyperparameters.layer_rates import LayerRates, LayerRatesArgument
from onecycle.keras_support import data_faults, devices, training_data
from onecycle.keras_support.callback_list import copied_callback
from onecycle.keras_support.fit_start import build_model, start_fit
from onecycle.keras_support.keras_backups import backup_folders
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.types import Nested
from onecycle.suggestions.arguments import check_choice, check_number, check_seed, check_verbose
from onecycle.training.cycle_spec import CycleSpec, MomentumPair, ScheduleMaker
from onecycle.training.fit_arguments import FitArguments, check_data_and_length, checked_callbacks
from onecycle.training.guard import DivergenceGuard
from onecycle.workers.arguments import check_workers

# In runs, by number of candidates. They cost 1.22 and 0.24 for each, one more is added, and a range test costs a bit.
BASE_BUDGET, BUDGET_OF_CANDIDATE = 1.55, 0.25


@dataclass(frozen=True)
class RaceRequest:
    """The arguments of `race_learning_rates` besides the model, the inputs and the targets."""

    epochs: int
    candidates: Candidates = 3
    validation_data: Nested = None
    monitor: str = "val_loss"
    mode: str = "auto"
    schedule: ScheduleMaker | None = None
    momentum: str | MomentumPair | None = "auto"
    layer_rates: LayerRatesArgument | LayerRates = None
    decay: float | None = None
    budget: float | None = None
    batch_size: int | None = None
    callbacks: Sequence[keras.callbacks.Callback] | None = None
    sample_weight: Nested = None
    class_weight: dict[int, float] | None = None
    averaged_weights: bool = False
    on_interrupt: str = "restore"
    directory: str | os.PathLike[str] | None = None
    jobs: int = 1
    cluster: str | None = None
    seed: int | None = None
    verbose: int | str = "auto"
    fit_arguments: FitArguments = field(default_factory=FitArguments)

    @property
    def default_budget(self) -> float:
        """Training steps in runs up to which candidates are added; 0 for none, beside peaks that the user chose."""
        number = checked_candidates(self.candidates)
        return BASE_BUDGET + BUDGET_OF_CANDIDATE * number if isinstance(number, int) else 0.0

    @property
    def in_workers(self) -> bool:
        """Whether other processes train the candidates."""
        return self.jobs != 1 or self.cluster is not None


def can_be_kept(settings: Mapping[str, Any]) -> bool:
    """Return whether a race with these arguments, those of `RaceRequest`, can go on in another process."""
    held_out = settings["fit_arguments"].get("validation_split") or settings.get("validation_data") is not None
    return not settings["callbacks"] and (settings["seed"] is not None or bool(held_out))


def check_request(model: keras.Model, x: Nested, y: Nested, request: RaceRequest) -> None:
    """Check all arguments before any training.

    Args:
        model: The compiled model.
        x: Training data, as `fit` takes it.
        y: Targets, or None.
        request: The other arguments.

    Raises:
        TypeError, ValueError: For the first one that is invalid.
    """
    check_model(model, x)
    _check_workers(model, request)
    data = {
        "batch_size": request.batch_size,
        "sample_weight": request.sample_weight,
        "class_weight": request.class_weight,
    }
    check_data_and_length(
        model, x, y, epochs=request.epochs, validation_data=request.validation_data, arguments=request.fit_arguments,
        **data,
    )  # fmt: skip
    _check_settings(request)
    _refuse_generators(x, request.validation_data)
    callbacks = checked_callbacks(request.callbacks)
    if backup_folders(callbacks)[0]:
        raise ValueError(
            "A race cannot be resumed by `BackupAndRestore`, which would restore one candidate's weights into another. "
            "Race without it."
        )
    refuse_guard(callbacks)
    for callback in callbacks:
        copied_callback(callback, model)
    spec = CycleSpec("race", request.momentum, request.schedule, request.layer_rates, request.decay)
    if spec.layer_rates is not None:
        build_model(model, x, y, **data)  # the rates are those of weights
    spec.check(model, callbacks)
    build_model(model, x, y, **data)
    data_faults.check_data_values(model, x, y, request.sample_weight, request.class_weight)
    validation = request.validation_data
    if isinstance(validation, tuple | list):
        data_faults.check_data_values(model, *validation, part_of="validation_data")
    start_fit(
        model, x, y, **data, steps_per_epoch=request.fit_arguments.get("steps_per_epoch"), validation_data=validation
    )


def refuse_guard(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Raise a ValueError for a `DivergenceGuard` among the callbacks of a race."""
    if any(isinstance(callback, DivergenceGuard) for callback in callbacks):
        raise ValueError(
            "A race drops the candidates that diverge, so a DivergenceGuard has no part in it. Leave it out, or train "
            "with one at the peak that the race found."
        )


def _check_settings(request: RaceRequest) -> None:
    checked_candidates(request.candidates)
    monitor_mode(request.monitor, request.mode)
    if request.budget is not None:
        check_number("budget", request.budget, minimum=1.0)
    check_choice("on_interrupt", request.on_interrupt, ("restore", "best"))
    check_seed(request.seed)
    check_verbose(request.verbose)
    if request.directory is not None and request.callbacks:
        raise ValueError(
            "A race on disk does not save the state of callbacks. Leave out `callbacks` or `directory`. "
            f"Received: directory={os.fspath(request.directory)!r}"
        )
    splits = request.fit_arguments.get("validation_split")
    if request.directory is not None and request.seed is None and request.validation_data is None and not splits:
        raise ValueError(
            "Without a `seed`, a race that goes on in another process would hold out other rows. Pass `seed` or "
            f"`validation_data`. Received: directory={os.fspath(request.directory)!r}"
        )
    if isinstance(request.schedule, LearningRateSchedule):
        raise ValueError(
            "Argument `schedule` must be a callable (total_steps, max_learning_rate) -> schedule, since each candidate "
            f"has another peak. Received: schedule={request.schedule!r}"
        )
    if request.fit_arguments.get("initial_epoch"):
        raise ValueError(
            "A race trains whole cycles, from their first epoch. Leave out `initial_epoch`. "
            f"Received: initial_epoch={request.fit_arguments['initial_epoch']}"
        )


def _check_workers(model: keras.Model, request: RaceRequest) -> None:
    check_workers(request.jobs, request.cluster)
    if not request.in_workers:
        return
    if request.callbacks:
        raise ValueError(
            "Callbacks cannot watch a training in another process. Leave out `callbacks`, or `jobs` and `cluster`. "
            f"Received: jobs={request.jobs}, cluster={request.cluster!r}"
        )
    if devices.is_distributed(model) and not (request.cluster and devices.is_data_parallel(model)):
        raise ValueError(
            "A model under a strategy of TensorFlow or a `keras.distribution` trains on all devices of this machine "
            "already. Leave out `jobs`; with `cluster`, use `MirroredStrategy` or `DataParallel`, which each worker "
            f"then has for its devices. Received: jobs={request.jobs}, cluster={request.cluster!r}"
        )


def _refuse_generators(x: Nested, validation_data: Nested) -> None:
    for name, data in (("x", x), ("validation_data", validation_data)):
        if training_data.is_one_shot(data):
            raise ValueError(
                f"Argument `{name}` must be data that can be read again, since each candidate of a race reads it. "
                "Received: a generator"
            )
