"""A race from its arguments to its result."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

import keras
import numpy as np

from onecycle.engine.member_schedules import preserved_installation
from onecycle.finding.fit_runs import set_seed
from onecycle.finding.progress import StepProgress
from onecycle.finding.race_candidates import RaceStart, checked_candidates, start_of_race
from onecycle.finding.race_data import Judge, RaceData, race_data
from onecycle.finding.race_fits import RaceFits
from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_request import RaceRequest, check_request
from onecycle.finding.race_result import race_result
from onecycle.finding.race_rounds import Rounds, cuts_of
from onecycle.finding.race_store import RaceStore
from onecycle.hyperparameters.scheduling import install_layer_rates
from onecycle.keras_support import training_data
from onecycle.keras_support.input_scaling import unscaled_inputs_message
from onecycle.keras_support.optimizers import raw_step
from onecycle.keras_support.origin import origin_of
from onecycle.keras_support.partial_fit import can_repeat_epoch
from onecycle.keras_support.snapshot import preserving, undone_unless_finished
from onecycle.keras_support.types import Nested
from onecycle.results.cycle_report import CycleReport
from onecycle.results.race import Race
from onecycle.training.cycle_spec import CycleSchedules, CycleSpec
from onecycle.training.fit_arguments import checked_callbacks
from onecycle.training.reporting import make_cycle_report

UNKNOWN_LENGTH = (
    "The length of this data set is unknown, and so is that of the cycle. Pass `steps_per_epoch`, arrays, or a data "
    "set with a length (in `tf.data`, `dataset.apply(tf.data.experimental.assert_cardinality(n))`)."
)
MIN_STEPS = 10  # of a run; in a shorter one, the cuts and the schedule would have no shape


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
    check_request(model, x, y, request)
    unscaled = unscaled_inputs_message(model, x)
    if unscaled:
        warnings.warn(unscaled, stacklevel=4)
    random = np.random if request.seed is None else np.random.RandomState(request.seed % 2**32)
    arguments = request.fit_arguments.copy()
    arguments.pop("initial_epoch", None)  # 0, see `check_request`
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
        self._spec = CycleSpec("race", request.momentum, request.schedule, request.layer_rates, request.decay)
        self._layer_rates = self._spec.layer_rates_of(model)
        self._judge = Judge(
            model, data.validation, monitor=request.monitor, mode=request.mode,
            batch_size=arguments.get("validation_batch_size") or request.batch_size,
            steps=arguments.get("validation_steps"),
        )  # fmt: skip
        self._rounds: Rounds | None = None
        self._store = self._open_store()

    def run(self) -> tuple[Race, keras.callbacks.History]:
        model, data, request = self._model, self._data, self._request
        read = (data.x, data.validation)
        if self._judge.monitor != "loss":
            preserving(model, self._judge.check, data=read)
        stored = None if self._store is None else self._store.start
        start = stored or preserving(
            model,
            lambda: start_of_race(
                model, checked_candidates(request.candidates), data, total_steps=self._total_steps,
                batch_size=request.batch_size, class_weight=request.class_weight, seed=request.seed,
                layer_rates=self._layer_rates,
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
        if self._store is not None:
            self._store.begin(start)
        cuts = self._cut_steps(len(start.learning_rates))
        expected = request.budget * self._total_steps
        progress = StepProgress(round(expected), request.verbose)
        with preserved_installation(self._model):
            install_layer_rates(self._model, self._layer_rates)
            fits = RaceFits(
                self._model, self._fit_arguments(), self._schedules, total_steps=self._total_steps,
                average_from=min(cuts.values()) // 2, keep_averaging=request.averaged_weights,
                portable=self._store is not None,
                callbacks=checked_callbacks(request.callbacks),
                progress=lambda member: progress.update(rounds.steps_spent, loss=member.curve[-1][1]),
            )  # fmt: skip
            rounds = self._rounds = Rounds(
                fits, self._judge, cuts, self._total_steps, expected, start.steps_spent, self._store
            )
            try:
                winner = rounds.run(start.learning_rates)
            finally:
                fits.close()
        progress.finish()
        history = fits.finish(winner)
        result = race_result(
            self._model, self._spec, request, start, rounds, winner, history, self._data, self._layer_rates
        )
        if request.averaged_weights:
            fits.average.assign(winner.average)
        history.onecycle = self._report(result, winner)
        return result, history

    def _open_store(self) -> RaceStore | None:
        request, data = self._request, self._data
        if request.directory is None:
            return None
        names = (
            "epochs",
            "candidates",
            "monitor",
            "mode",
            "schedule",
            "momentum",
            "budget",
            "averaged_weights",
            "seed",
        )
        held = {"x": data.x, "y": data.y, "sample_weight": data.sample_weight, "validation_data": data.validation}
        arguments = {name: getattr(request, name) for name in names} | dict(request.fit_arguments)
        rates = {} if self._layer_rates is None else self._layer_rates.by_position(self._model)
        arguments |= {"layer_rates": rates} if rates else {}  # races of older versions have none
        return RaceStore(request.directory, self._model, held, arguments)

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
        steps: dict[float, int] = {}
        for cut in cuts_of(candidates):
            # In a short run, the end of an epoch may lie beyond the next cut.
            step = max(1, round(cut * total), *(before + 1 for before in steps.values()))
            end_of_epoch = -(-step // epoch) * epoch
            steps[cut] = step if repeats or end_of_epoch >= total else end_of_epoch
        return steps

    def _report(self, result: Race, winner: RaceMember) -> CycleReport:
        start = raw_step(self._model.optimizer) - winner.steps
        spec = self._spec.with_peak(winner.learning_rate)
        schedules = spec.schedules(self._model.optimizer, self._total_steps, max(start, 0))
        report = make_cycle_report(
            schedules, start_step=max(start, 0), total_steps=self._total_steps, max_learning_rate=winner.learning_rate,
            layer_rates=self._layer_rates,
        )  # fmt: skip
        return replace(
            report, steps=winner.steps, skipped_steps=0, evidence=result, origin=origin_of(self._model),
            history=dict(result.history),
        )  # fmt: skip
