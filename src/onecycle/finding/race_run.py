"""A race from its arguments to its result."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.engine.member_schedules import preserved_installation
from onecycle.finding.fit_runs import set_seed
from onecycle.finding.progress import StepProgress
from onecycle.finding.race_candidates import Candidates, RaceStart, checked_candidates, start_of_race
from onecycle.finding.race_data import Judge, RaceData, monitor_mode, race_data
from onecycle.finding.race_fits import RaceFits
from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_result import race_result
from onecycle.finding.race_rounds import Rounds, cuts_of
from onecycle.keras_support import data_faults, training_data
from onecycle.keras_support.callback_list import copied_callback
from onecycle.keras_support.fit_start import build_model, start_fit
from onecycle.keras_support.input_scaling import unscaled_inputs_message
from onecycle.keras_support.keras_backups import backup_folders
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.optimizers import raw_step
from onecycle.keras_support.origin import origin_of
from onecycle.keras_support.partial_fit import can_repeat_epoch
from onecycle.keras_support.snapshot import preserving, undone_unless_finished
from onecycle.keras_support.types import Nested
from onecycle.results.cycle_report import CycleReport
from onecycle.results.race import Race
from onecycle.suggestions.arguments import check_choice, check_number, check_seed, check_verbose
from onecycle.training.cycle_spec import CycleSchedules, CycleSpec, MomentumPair, ScheduleMaker
from onecycle.training.fit_arguments import FitArguments, check_data_and_length, checked_callbacks
from onecycle.training.reporting import make_cycle_report

DEFAULT_BUDGET = 2.25  # in runs: three candidates cost 2.1, and a range test a little
UNKNOWN_LENGTH = (
    "The length of this data set is unknown, and so is that of the cycle. Pass `steps_per_epoch`, arrays, or a data "
    "set with a length (in `tf.data`, `dataset.apply(tf.data.experimental.assert_cardinality(n))`)."
)
MIN_STEPS = 10  # of a run; in a shorter one, the cuts and the schedule would have no shape


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
    budget: float = DEFAULT_BUDGET
    batch_size: int | None = None
    callbacks: Sequence[keras.callbacks.Callback] | None = None
    sample_weight: Nested = None
    class_weight: dict[int, float] | None = None
    averaged_weights: bool = False
    on_interrupt: str = "restore"
    seed: int | None = None
    verbose: int | str = "auto"
    fit_arguments: FitArguments = field(default_factory=FitArguments)


def run_race(model: keras.Model, x: Nested, y: Nested, request: RaceRequest) -> tuple[Race, keras.callbacks.History]:
    """Run a race, and return its result and the `History` of the winner, which the model has become.

    Args:
        model: The compiled model.
        x: Training data, as `fit` takes it.
        y: Targets, or None.
        request: The other arguments.

    Raises:
        TypeError, ValueError: As `race_learning_rates`. The model is then as it was.
    """
    _check(model, x, y, request)
    unscaled = unscaled_inputs_message(model, x)
    if unscaled:
        warnings.warn(unscaled, stacklevel=4)
    random = np.random if request.seed is None else np.random.RandomState(request.seed % 2**32)
    arguments = request.fit_arguments.copy()
    data = race_data(
        model, x, y, request.sample_weight, validation_data=request.validation_data,
        validation_split=arguments.pop("validation_split", 0.0) or 0.0, random=random,
    )  # fmt: skip
    return _Run(model, replace(request, fit_arguments=arguments), data).run()


class _Run:
    """A race whose arguments have been checked."""

    def __init__(self, model: keras.Model, request: RaceRequest, data: RaceData) -> None:
        self._model, self._request, self._data = model, request, data
        self._batch_size = request.batch_size
        arguments = request.fit_arguments
        steps = training_data.steps_per_epoch(data.x, request.batch_size, arguments.get("steps_per_epoch"))
        if steps is None:
            raise ValueError(UNKNOWN_LENGTH)
        self._steps_per_epoch = steps
        self._total_steps = self._steps_per_epoch * request.epochs
        if self._total_steps < MIN_STEPS:
            raise ValueError(
                f"A race needs a training of at least {MIN_STEPS} steps. Pass more `epochs`, or call `fit_one_cycle`. "
                f"Received: a training of {self._total_steps} steps"
            )
        self._spec = CycleSpec("race", request.momentum, request.schedule)
        self._judge = Judge(
            model, data.validation, monitor=request.monitor, mode=request.mode,
            batch_size=arguments.get("validation_batch_size") or request.batch_size,
            steps=arguments.get("validation_steps"),
        )  # fmt: skip
        self._rounds: Rounds | None = None

    def run(self) -> tuple[Race, keras.callbacks.History]:
        model, data, request = self._model, self._data, self._request
        read = (data.x, data.validation)
        if self._judge.monitor != "loss":
            preserving(model, self._judge.check, data=read)
        start = preserving(
            model,
            lambda: start_of_race(
                model, checked_candidates(request.candidates), data, total_steps=self._total_steps,
                batch_size=request.batch_size, class_weight=request.class_weight, seed=request.seed,
            ),
            data=read,
        )  # fmt: skip
        for hint in () if start.range_test is None else start.range_test.hints:
            warnings.warn(hint, stacklevel=5)
        trained = undone_unless_finished(model, partial(self._train_or_keep_best, start), data=read)
        if trained is None:
            raise KeyboardInterrupt
        return trained

    def _train_or_keep_best(self, start: RaceStart) -> tuple[Race, keras.callbacks.History] | None:
        """Train the candidates; None after an interrupt that leaves the best candidate so far."""
        try:
            return self._train(start)
        except KeyboardInterrupt:
            best = None if self._rounds is None else self._rounds.best_so_far()
            if self._request.on_interrupt != "best" or best is None or best.paused is None:
                raise
            best.paused.variables.restore()
            return None

    def _train(self, start: RaceStart) -> tuple[Race, keras.callbacks.History]:
        """Train the candidates. An exception leaves a half-trained model, which the caller restores."""
        request = self._request
        set_seed(request.seed)
        cuts = self._cut_steps(len(start.learning_rates))
        expected = request.budget * self._total_steps
        progress = StepProgress(round(expected), request.verbose)
        with preserved_installation(self._model):
            fits = RaceFits(
                self._model, self._fit_arguments(), self._schedules, total_steps=self._total_steps,
                average_from=min(cuts.values()) // 2, keep_averaging=request.averaged_weights,
                callbacks=checked_callbacks(request.callbacks),
                progress=lambda member: progress.update(rounds.steps_spent, loss=member.curve[-1][1]),
            )  # fmt: skip
            rounds = self._rounds = Rounds(fits, self._judge, cuts, self._total_steps, expected, start.steps_spent)
            try:
                winner = rounds.run(start.learning_rates)
            finally:
                fits.close()
        progress.finish()
        history = fits.finish(winner)
        result = race_result(self._model, self._spec, request, start, rounds, winner, history, self._data)
        if request.averaged_weights:
            fits.average.assign(winner.average)
        history.onecycle = self._report(result, winner)
        return result, history

    def _fit_arguments(self) -> dict[str, Nested]:
        request, data = self._request, self._data
        return {
            **request.fit_arguments,
            "x": data.x,
            "y": data.y,
            "sample_weight": data.sample_weight,
            "class_weight": request.class_weight,
            "batch_size": request.batch_size,
            "epochs": request.epochs,
            "validation_data": data.validation,
        }

    def _schedules(self, peak: float) -> CycleSchedules:
        return self._spec.with_peak(peak).schedules(self._model.optimizer, self._total_steps)

    def _cut_steps(self, candidates: int) -> dict[float, int]:
        """Return cut -> step of the cycle."""
        arguments, total, epoch = self._request.fit_arguments, self._total_steps, self._steps_per_epoch
        # With `steps_per_epoch`, an epoch goes on in the data where the one before ended.
        repeats = can_repeat_epoch(self._data.x, shuffle=bool(arguments.get("shuffle", True)))
        repeats = repeats and not arguments.get("steps_per_epoch")
        steps = {}
        for cut in cuts_of(candidates):
            step = max(1, round(cut * total))
            end_of_epoch = -(-step // epoch) * epoch
            steps[cut] = step if repeats or end_of_epoch >= total else end_of_epoch
        return steps

    def _report(self, result: Race, winner: RaceMember) -> CycleReport:
        start = raw_step(self._model.optimizer) - winner.steps
        spec = self._spec.with_peak(winner.learning_rate)
        schedules = spec.schedules(self._model.optimizer, self._total_steps, max(start, 0))
        report = make_cycle_report(
            schedules, start_step=max(start, 0), total_steps=self._total_steps, max_learning_rate=winner.learning_rate
        )
        return replace(
            report, steps=winner.steps, skipped_steps=0, evidence=result, origin=origin_of(self._model),
            history=dict(result.history),
        )  # fmt: skip


def _check(model: keras.Model, x: Nested, y: Nested, request: RaceRequest) -> None:
    """Check all arguments before any training.

    Raises:
        TypeError, ValueError: For the first one that is invalid.
    """
    check_model(model, x)
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
    for callback in callbacks:
        copied_callback(callback, model)
    CycleSpec("race", request.momentum, request.schedule).check(model, callbacks)
    build_model(model, x, y, **data)
    data_faults.check_data_values(model, x, y, request.sample_weight, request.class_weight)
    validation = request.validation_data
    if isinstance(validation, tuple | list):
        data_faults.check_data_values(model, *validation, part_of="validation_data")
    start_fit(
        model, x, y, **data, steps_per_epoch=request.fit_arguments.get("steps_per_epoch"), validation_data=validation
    )


def _check_settings(request: RaceRequest) -> None:
    checked_candidates(request.candidates)
    monitor_mode(request.monitor, request.mode)
    check_number("budget", request.budget, minimum=1.0)
    check_choice("on_interrupt", request.on_interrupt, ("restore", "best"))
    check_seed(request.seed)
    check_verbose(request.verbose)
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


def _refuse_generators(x: Nested, validation_data: Nested) -> None:
    for name, data in (("x", x), ("validation_data", validation_data)):
        if training_data.is_one_shot(data):
            raise ValueError(
                f"Argument `{name}` must be data that can be read again, since each candidate of a race reads it. "
                "Received: a generator"
            )
