"""The short runs of a sweep: their training, their scores, and the result of the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule
from numpy.typing import NDArray

from onecycle.engine import Member, train_members
from onecycle.finding.sweep_data import SweepData
from onecycle.keras_support import backends
from onecycle.keras_support.data_sharding import even_batches_required
from onecycle.keras_support.optimizers import optimizer_names
from onecycle.keras_support.origin import origin_of
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.suggestions import sweep_pick
from onecycle.suggestions.arguments import described
from onecycle.suggestions.rules import one_cycle_divisor
from onecycle.training.cycle_spec import CycleSchedules, CycleSpec, MomentumPair, ScheduleMaker

Array = NDArray[np.float64]

CURVE_PARTS = 200  # equal parts of a run whose mean losses are kept


def suggested_peak(range_test: RangeTest) -> float | None:
    """Return the peak below the blow-up, even if the range test does not suggest it; None without a blow-up."""
    suggestion = range_test.suggestions["one_cycle"]
    if suggestion.learning_rate is not None or suggestion.seen_at is None:
        return suggestion.learning_rate
    step = max(1, int(np.searchsorted(range_test.learning_rates, suggestion.seen_at)))
    return suggestion.seen_at / one_cycle_divisor(range_test.learning_rates, step)


class RunSchedules:
    """Makes the schedules of a run from its length and its peak.

    Args:
        model: The model to be trained.
        schedule: None for the article's cycle, or a callable `(total_steps, max_learning_rate) -> schedule`.
        momentum: As in `OneCycleScheduler`.

    Raises:
        ValueError: For a ready schedule, since each run needs a schedule of its length.
    """

    def __init__(self, model: keras.Model, schedule: ScheduleMaker | None, momentum: str | MomentumPair | None) -> None:
        if isinstance(schedule, LearningRateSchedule | type) or not (schedule is None or callable(schedule)):
            raise ValueError(
                "Argument `schedule` must be a callable (total_steps, max_learning_rate) -> schedule, since each run "
                f"of a sweep has another length and peak. Received: schedule={described(schedule)}"
            )
        self._model, self._spec = model, CycleSpec("auto", momentum, schedule)
        self._spec.check(model, ())

    def __call__(self, steps: int, peak: float) -> CycleSchedules:
        """Return the schedules of a run of `steps` steps with this peak."""
        return self._spec.with_peak(peak).schedules(self._model.optimizer, steps)


class ScoredRun(NamedTuple):
    """One short run.

    Attributes:
        planned_steps: The planned number of steps, the same for all runs of one length.
        steps: The actual number of steps, which make up whole epochs or a part of one.
        learning_rate: Its peak.
        score: The held-out loss at its end; not finite if it diverged.
        losses: (steps,) the loss of each batch; NaN after it diverged.
    """

    planned_steps: int
    steps: int
    learning_rate: float
    score: float
    losses: Array


class SweepRuns:
    """Short runs of one model, all from its current state, and their scores.

    Args:
        model: The compiled model.
        data: The data that the runs are trained on and judged on.
        schedules: Makes the schedules of each run.
        class_weight: As in `fit`.
        seed: Seed of the data order, the same for all runs.

    Attributes:
        steps_spent: Training steps of all runs so far.
    """

    def __init__(
        self,
        model: keras.Model,
        data: SweepData,
        schedules: RunSchedules,
        *,
        class_weight: dict[int, float] | None,
        seed: int,
    ) -> None:
        self._model, self._data, self._schedules = model, data, schedules
        self._class_weight, self._seed = class_weight, seed
        self._runs: list[ScoredRun] = []
        self._engines: dict[int, str] = {}
        self.steps_spent = 0

    def train(self, learning_rates: Sequence[float], steps: int) -> None:
        """Train at these peaks for `steps` steps or a few less: whole epochs, or a part of one."""
        epochs = max(1, round(steps / self._data.train_steps_per_epoch))
        steps_per_epoch = min(self._data.train_steps_per_epoch, steps // epochs)
        made = epochs * steps_per_epoch
        x, y, sample_weight = self._data.first(steps_per_epoch)
        trained = train_members(
            self._model, x, y,
            members=[self._member(made, float(rate)) for rate in learning_rates],
            epochs=epochs, batch_size=self._data.fit_batch_size, sample_weight=sample_weight,
            class_weight=self._class_weight, validation_data=self._data.validation,
        )  # fmt: skip
        scores = trained.validation["loss"][:, -1]
        for rate, score, losses in zip(learning_rates, scores, trained.losses, strict=True):
            self._runs.append(ScoredRun(steps, made, float(rate), float(score), losses))
        self._engines.setdefault(steps, f"{made} steps, engine {trained.engine}: {trained.reason}")
        self.steps_spent += made * len(learning_rates)

    def extend(self, steps: int, ratio: float) -> bool:
        """Train at one more rate if the best run of this length has the lowest or the highest rate.

        Args:
            steps: The planned length of the runs.
            ratio: Ratio of the new rate to the one at that end, or its inverse.

        Returns:
            Whether a run was added.
        """
        rates, scores = self.scores_of(steps)
        end = sweep_pick.best_at_end(rates, scores)
        if end is None:
            return False
        # If all runs diverged, a step of the usual width would probably not be enough.
        below = min(rates) / (ratio if np.isfinite(scores).any() else ratio**2)
        self.train([below if end == "lowest" else max(rates) * ratio], steps)
        return True

    def scores_of(self, steps: int) -> tuple[list[float], list[float]]:
        """Return the rates and scores of the runs with this planned length."""
        runs = [run for run in self._runs if run.planned_steps == steps]
        return [run.learning_rate for run in runs], [run.score for run in runs]

    def initial_score(self) -> float:
        """Return the held-out loss of the model in its current state."""
        validation = self._data.validation
        if not isinstance(validation, tuple | list):
            with even_batches_required():
                return float(self._model.evaluate(validation, verbose=0, return_dict=True)["loss"])
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(validation)
        scores = self._model.evaluate(
            x, y, sample_weight=sample_weight, batch_size=self._data.fit_batch_size, verbose=0, return_dict=True
        )
        return float(scores["loss"])

    def result(
        self, range_test: RangeTest, *, total_steps: int, initial_score: float, seed: int | None, **config: object
    ) -> Sweep:
        """Return the result of the sweep.

        Args:
            range_test: The range test that the sweep began with.
            total_steps: Steps of the full run for which the peak is sought.
            initial_score: The held-out loss before any training.
            seed: The seed of the sweep, or None.
            **config: Other settings for the result.
        """
        runs = sorted(self._runs, key=lambda run: (run.planned_steps, run.learning_rate))
        rates, scores = [run.learning_rate for run in runs], [run.score for run in runs]
        steps = [run.steps for run in runs]
        peak = suggested_peak(range_test)
        pick = sweep_pick.pick(rates, scores, steps, initial_score=initial_score, suggested=peak)
        # For its description only, so any peak will do.
        schedules = self._schedules(total_steps, pick.learning_rate or 1.0)
        return Sweep(
            learning_rates=np.array(rates),
            scores=np.where(np.isfinite(scores), scores, np.nan),
            steps=np.array(steps, dtype=np.float64),
            curves=_mean_curves([run.losses for run in runs]),
            pick=pick,
            cost=(self.steps_spent + (range_test.training_steps or 0)) / total_steps,
            range_test=range_test,
            total_steps=total_steps,
            initial_score=initial_score,
            held_out=self._data.description,
            seed=seed,
            config={
                **config,
                "schedule": type(schedules.learning_rate).__name__,
                "momentum": schedules.momentum_pair,
                "batch_size": self._data.batch_size,
                "optimizer": optimizer_names(self._model.optimizer),
                "backend": backends.name(),
            },
            engines=tuple(self._engines.values()),
            versions=backends.versions(),
            origin=origin_of(self._model),
        )

    def _member(self, steps: int, peak: float) -> Member:
        schedules = self._schedules(steps, peak)
        return Member(schedules.learning_rate, schedules.momentum, seed=self._seed)


def _mean_curves(losses: Sequence[Array]) -> Array:
    """Return (runs, parts) the mean losses of equal parts of each run, padded with NaN."""
    # A run may have fewer steps than there are parts.
    parts = [np.array_split(run, min(len(run), CURVE_PARTS)) for run in losses]
    curves = np.full((len(parts), max(map(len, parts))), np.nan)
    for row, run in zip(curves, parts, strict=True):
        row[: len(run)] = [part.mean() for part in run]
    return curves
