"""`fit_one_cycle`: find the peak and train with one cycle, in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.hyperparameters.layer_rates import LayerRates, LayerRatesArgument
from onecycle.keras_support import data_faults, training_data
from onecycle.keras_support.data_checks import batches_required
from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.fit_start import build_model, check_built_model
from onecycle.keras_support.interrupts import undo_unless_finished
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.types import Nested
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_seed, check_verbose
from onecycle.training.backups.run_backup import RunBackup, open_backup
from onecycle.training.cycle_spec import CycleSpec, MomentumPair, ScheduleMaker
from onecycle.training.first_batch_check import FirstBatchCheck
from onecycle.training.fit_arguments import (
    FitArguments,
    check_data_and_length,
    checked_callbacks,
    split_of_fit,
    trained_part,
)
from onecycle.training.fit_length import FitLength, fit_length
from onecycle.training.guard import added_guards, check_guards
from onecycle.training.kept_peak import KeptPeak
from onecycle.training.peak import find_peak, refuse_one_shot, refuse_to_find_peak_again
from onecycle.training.raced import refuse_in_race, train_by_race
from onecycle.training.scheduler import OneCycleScheduler
from onecycle.training.warned_faults import faults_of_fit, with_one_warning


@suggest_names(others=FitArguments.__annotations__)
def fit_one_cycle(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    epochs: int,
    max_learning_rate: float | str | RangeTest | Race = "auto",
    momentum: str | MomentumPair | None = "auto",
    schedule: LearningRateSchedule | ScheduleMaker | None = None,
    layer_rates: LayerRatesArgument | LayerRates = None,
    decay: float | None = None,
    batch_size: int | None = None,
    validation_data: Nested = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    guard: bool = True,
    verbose: int | str = "auto",
    sample_weight: Nested = None,
    class_weight: dict[int, float] | None = None,
    seed: int | None = None,
    total_steps: int | None = None,
    backup_dir: str | os.PathLike[str] | None = None,
    **fit_arguments: Unpack[FitArguments],
) -> keras.callbacks.History:
    """Train a compiled model with one cycle of learning rate and momentum.

    If no peak is given, it is found first, and the model is left unchanged by the search. A range test (`"range test"`,
    which is also what `"auto"` stands for) takes a few hundred steps. If it suggests no learning rate, it is repeated
    with a wider range and more steps.

    A race (`"race"`) trains whole cycles with several peaks, drops the worse ones on the way, and keeps the best one,
    trained. It costs at most 2.3 runs, and needs no further training. See `race_learning_rates`.

    Args:
        model: A compiled model.
        x: Training data, as `Model.fit` takes it. A one-shot generator is refused if the peak has to be found, since
            the search would use up its first batches.
        y: Targets, as in `fit`.
        epochs: Number of epochs, which is the length of the cycle.
        max_learning_rate: The peak; `"auto"`, `"range test"` or `"race"` to find it; or the result of
            `find_learning_rate` or `race_learning_rates`, which the report then contains.
        momentum: As in `OneCycleScheduler`.
        schedule: Replaces the article's cycle: a schedule (then leave out `max_learning_rate`; it keeps its own
            length, as in `OneCycleScheduler`), or a callable `(total_steps, max_learning_rate) -> schedule`, for
            example `lambda steps, peak: onecycle.WarmupLinearDecay(peak, steps)`.
        layer_rates: Factors on the learning rate of layers, or `"decay"`, as in `schedule_hyperparameters`, in the
            search for the peak too. The peak is that of layers with factor 1.
        decay: The ratio for `layer_rates="decay"`.
        batch_size: As in `fit`; the range test uses the same.
        validation_data: As in `fit`.
        callbacks: More callbacks, as in `fit`. If a `BackupAndRestore` among them resumes an interrupted run, the peak
            that this run found is taken from the folder of the backup.
        guard: Whether a `DivergenceGuard` watches the training. One among `callbacks` is used instead. A race has none,
            since it drops candidates that diverge.
        verbose: As in `fit`; 0 also silences the search for the peak.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        seed: Seed of the data order in the range test. The training draws from the global random states, as `fit` does,
            except in a race (see there).
        total_steps: Length of the cycle in training steps. By default it is that of the training. Required for data of
            unknown length, unless `steps_per_epoch` is given. Not with a race.
        backup_dir: Folder for a backup of the run after each epoch. If the run is interrupted, the same call, in a new
            process too, continues after the last finished epoch, to the same end: with the peak and what picked it,
            the weights, the optimizer, the history, and the random generators and the order of the data. A call with
            another model, other data or other arguments is refused. A finished run is kept: the same call restores
            its weights with a warning and trains nothing. Delete the folder to start anew.
        **fit_arguments: Other arguments of `fit`, such as `validation_split` or `steps_per_epoch`.

    Returns:
        Keras' `History`. Its attribute `onecycle` is a `CycleReport`: the peak, why it was chosen and at what cost, and
        the `RangeTest` or `Race` that picked it.

    Raises:
        TypeError, ValueError: For invalid arguments, or if no peak was found (with the reason), or if a run is to be
            resumed whose peak is not known, or if `backup_dir` has the backup of another run.
        DivergenceError: If training diverges more often than the guard can rescue it. The model has a good state then.

    Warns:
        UserWarning: Once, with all faults of the model and the data that `check` finds without training, and those
            that the search for the peak noticed. Data sets are examined by the search only.
            Also if the run in `backup_dir` is finished, or its newest backup is damaged.

    Example:

    ```python
    history = onecycle.fit_one_cycle(model, x, y, epochs=10)
    print(history.onecycle.summary())
    ```
    """
    check_model(model, x)
    data = {"batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    fit = {"epochs": epochs, "validation_data": validation_data, "verbose": verbose, **data}
    _check_arguments(model, x, y, fit_arguments, seed, **fit)
    callbacks = _checked_callbacks(callbacks, guard)
    spec = CycleSpec(max_learning_rate, momentum, schedule, layer_rates, decay)
    # All refusals come before the search for the peak, which may take as long as the training.
    _check_spec(spec, model, x, y, callbacks, total_steps, **data)
    split = split_of_fit(fit_arguments, validation_data)
    length = fit_length(
        spec, model, x, split, epochs=epochs, batch_size=batch_size, total_steps=total_steps, arguments=fit_arguments
    )
    backup = open_backup(
        backup_dir, model, {"x": x, "y": y, **data, "validation_data": validation_data}, callbacks,
        epochs=epochs, max_learning_rate=max_learning_rate, momentum=momentum, schedule=schedule, seed=seed,
        total_steps=total_steps, **_layer_rates(spec, model), **fit_arguments,
    )  # fmt: skip
    if backup is not None and backup.is_finished:
        return backup.repeat_end()
    faults = _faults(model, x, y, spec, fit_arguments, split, **data)
    if spec.picker == "race":
        with_one_warning(faults, lambda: None)
        return train_by_race(
            model, x, y, spec, backup, **fit, callbacks=callbacks, seed=seed, fit_arguments=fit_arguments
        )
    checked = spec.finds_peak or training_data.is_arrays(x)
    kept_peak = KeptPeak(callbacks)
    kept = backup.evidence if backup is not None and backup.resumes else kept_peak.load(spec)
    options: dict[str, Any] = {"seed": seed, "verbose": verbose, "kept": kept, "class_weight": class_weight}
    trained = trained_part(x, y, sample_weight, batch_size, split, fit_arguments)
    evidence = with_one_warning(faults, lambda: _found(spec, length, model, **trained, **options))
    kept_peak.keep(evidence)
    if evidence is not None:
        spec = spec.with_peak(evidence.learning_rate)
    # The check comes last, so that it wraps the step that has the cycle.
    last = [OneCycleScheduler.from_spec(spec, evidence, length.cycle_steps), *([] if checked else [FirstBatchCheck(x)])]
    return _fit(model, x, y, backup, evidence, guard, **fit, callbacks=[*callbacks, *last], **fit_arguments)


def _check_arguments(
    model: keras.Model,
    x: Nested,
    y: Nested,
    arguments: FitArguments,
    seed: int | None,
    *,
    epochs: int,
    validation_data: Nested,
    verbose: int | str,
    **data: Any,
) -> None:
    """Raise an error for the first argument that is invalid by itself or for this model and data."""
    check_data_and_length(model, x, y, epochs=epochs, validation_data=validation_data, arguments=arguments, **data)
    check_built_model(model, x, data["batch_size"])
    check_seed(seed)
    check_verbose(verbose)


def _checked_callbacks(callbacks: object, guard: object) -> list[keras.callbacks.Callback]:
    checked = checked_callbacks(callbacks)
    check_guards(guard, checked)
    return checked


def _check_spec(
    spec: CycleSpec,
    model: keras.Model,
    x: Nested,
    y: Nested,
    callbacks: list[keras.callbacks.Callback],
    total_steps: int | None,
    **data: Any,
) -> None:
    if spec.layer_rates is not None:
        build_model(model, x, y, **data)  # the rates are those of weights
    spec.check(model, callbacks)
    refuse_one_shot(spec, x)
    if spec.picker == "race":
        refuse_in_race(total_steps=total_steps)


def _faults(
    model: keras.Model, x: Nested, y: Nested, spec: CycleSpec, arguments: FitArguments, split: float, **data: Any
) -> list[str]:
    """Return the faults to warn of, after a check for values that no model trains with, which are an error."""
    if spec.finds_peak:
        build_model(model, x, y, **data)  # as the search would do it
    data_faults.check_data_values(model, x, y, data["sample_weight"], data["class_weight"])
    return faults_of_fit(model, x, y, **data, arguments=arguments, validation_split=split)


def _layer_rates(spec: CycleSpec, model: keras.Model) -> dict[str, dict[str, float]]:
    """Return the rates of layers as an argument that identifies the run; nothing without any, as in older backups."""
    rates = spec.layer_rates_of(model)
    found = {} if rates is None else rates.by_position(model)
    return {"layer_rates": found} if found else {}


def _found(
    spec: CycleSpec, length: FitLength, model: keras.Model, *, kept: RangeTest | Race | None, **options: Any
) -> RangeTest | Race | None:
    """Return the result that holds the peak: the one that was kept, or a new one; None for a number."""
    if kept is not None:
        return kept
    refuse_to_find_peak_again(spec, continues=length.continues)
    return find_peak(spec, model, **options)


def _fit(
    model: keras.Model,
    x: Nested,
    y: Nested,
    backup: RunBackup | None,
    evidence: RangeTest | Race | None,
    guard: bool,
    *,
    callbacks: list[keras.callbacks.Callback],
    **arguments: Any,
) -> keras.callbacks.History:
    """Call `fit`, from the backup on. After an exception, the cycle would otherwise stay until the next one."""
    callbacks += added_guards(guard, callbacks)
    if backup is not None:
        callbacks.append(backup)
        arguments["initial_epoch"] = backup.prepare(evidence, arguments.get("initial_epoch", 0), callbacks)
    arguments["callbacks"] = callbacks
    with batches_required(x):
        return undo_unless_finished(lambda: model.fit(x, y, **arguments), lambda: close_ended_fit(model))
