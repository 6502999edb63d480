"""A race from its arguments to its result."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

import keras
import numpy as np

from onecycle.finding.fit_runs import set_seed
from onecycle.finding.progress import StepProgress
from onecycle.finding.race_candidates import RaceStart, checked_candidates, start_of_race
from onecycle.finding.race_data import RaceData, race_data
from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_request import RaceRequest, check_request
from onecycle.finding.race_result import race_result
from onecycle.finding.race_rounds import Rounds, planned_steps
from onecycle.finding.race_store import RaceStore
from onecycle.finding.race_trainers import trainer_of
from onecycle.finding.race_training import RaceTraining
from onecycle.finding.race_worker import sent_race
from onecycle.keras_support.input_scaling import unscaled_inputs_message
from onecycle.keras_support.optimizers import raw_step, skips_updates
from onecycle.keras_support.snapshot import preserving, undone_unless_finished
from onecycle.keras_support.types import Nested
from onecycle.results.cycle_report import CycleReport
from onecycle.results.race import Race
from onecycle.training.cycle_reporter import CycleReporter


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
        self._training = RaceTraining(model, request, data)
        self._rounds: Rounds | None = None
        self._store = self._open_store()

    def run(self) -> tuple[Race, keras.callbacks.History]:
        model, data, request = self._model, self._data, self._request
        read = (data.x, data.validation)
        if self._training.judge.monitor != "loss":
            preserving(model, self._training.judge.check, data=read)
        stored = None if self._store is None else self._store.start
        start = stored or preserving(
            model,
            lambda: start_of_race(
                model, checked_candidates(request.candidates), data,
                total_steps=self._training.total_steps, batch_size=self._training.batch_size,
                class_weight=request.class_weight, seed=request.seed, wide=self._training.has_many_rows,
                layer_rates=self._training.layer_rates,
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
        request, training = self._request, self._training
        set_seed(request.seed)
        if self._store is not None:
            self._store.begin(start)
        cuts = training.cut_steps()
        budget = training.budget * training.total_steps
        planned = start.steps_spent + planned_steps(len(start.learning_rates), cuts, training.total_steps)
        progress = StepProgress(round(max(budget, planned)), request.verbose)

        def report(member: RaceMember) -> None:
            progress.update(rounds.steps_spent, loss=member.curve[-1][1])

        payload = sent_race(self._model, training) if request.in_workers else None
        portable = self._store is not None or request.in_workers
        with training.fits(portable=portable, progress=report) as fits:
            trainer = trainer_of(training, fits, payload, report, start.learning_rates)
            rounds = self._rounds = Rounds(
                trainer, training.judge, cuts, total_steps=training.total_steps, budget=budget,
                spent_before=start.steps_spent, store=self._store, trend_step=training.trend_step,
                baseline=None if start.range_test is None else training.baseline(fits),
            )  # fmt: skip
            winner = rounds.run(start.learning_rates)
        progress.finish()
        history = fits.finish(winner)
        result = race_result(self._model, training, start, rounds, winner, history)
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
        layer_rates = self._training.layer_rates
        rates = {} if layer_rates is None else layer_rates.by_position(self._model)
        arguments |= {"layer_rates": rates} if rates else {}  # races of older versions have none
        return RaceStore(request.directory, self._model, held, arguments)

    def _report(self, result: Race, winner: RaceMember) -> CycleReport:
        training, optimizer = self._training, self._model.optimizer
        spec, start = training.spec.with_peak(winner.learning_rate), training.start_step
        reporter = CycleReporter(self._model, spec, winner.learning_rate, result)
        schedules = spec.schedules(optimizer, training.total_steps, start)
        report = reporter.begun(schedules, start, training.total_steps)
        made = raw_step(optimizer) - start
        # Loss scaling skips updates, which the optimizer does not count.
        skipped = winner.steps - made if skips_updates(optimizer) else 0
        return replace(report, steps=made, skipped_steps=skipped, history=dict(result.history))
