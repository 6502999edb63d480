"""The short runs of a sweep: how they are made, how they are judged, what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule as Schedule

from onecycle.engine import Member, train_members
from onecycle.finding import sweep_data
from onecycle.hyperparameters.scheduling import require_momentum
from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import inner_optimizers
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.suggestions import sweep_pick
from onecycle.suggestions.rules import one_cycle_divisor
from onecycle.training.scheduler import scheduler_for

CURVE_PARTS = 200  # of a run, whose mean losses are kept


def suggested(tested: RangeTest) -> float | None:
    """The peak below the blow-up, also where the range test has doubts; None where it saw no blow-up."""
    found = tested.suggestions["one_cycle"]
    if found.learning_rate is not None or found.seen_at is None:
        return found.learning_rate
    step = max(1, int(np.searchsorted(tested.learning_rates, found.seen_at)))
    return found.seen_at / one_cycle_divisor(tested.learning_rates, step)


class Cycles:
    """Makes the schedules of a run from its length and its peak.

    Args:
        model: The model to be trained.
        schedule: None for the article's cycle, or a callable `(total_steps, max_learning_rate) -> schedule`.
        momentum: As in `OneCycleScheduler`.
    """

    def __init__(self, model: Any, schedule: Any, momentum: Any) -> None:
        if isinstance(schedule, Schedule) or not (schedule is None or callable(schedule)):
            raise ValueError(
                "Argument `schedule` must be a callable (total_steps, max_learning_rate) -> schedule, since each run "
                f"of a sweep has its own. Received: schedule={schedule!r}"
            )
        self._model, self._schedule, self._momentum = model, schedule, momentum
        if isinstance(scheduler_for(1.0, momentum, schedule).momentum, tuple):
            require_momentum(model.optimizer)

    def __call__(self, steps: int, peak: float) -> tuple[Any, Any, Any]:
        """The schedules of rate and momentum, and the momentum pair (high, low); None where it is left alone."""
        return scheduler_for(peak, self._momentum, self._schedule).schedules(self._model.optimizer, steps)


class Runs:
    """Short runs of one model from where it is, and their scores."""

    def __init__(self, model: Any, data: sweep_data.Holding, make: Cycles, class_weight: Any, seed: int) -> None:
        self._model, self._data, self._make = model, data, make
        self._class_weight, self._seed = class_weight, seed
        self._found: list[tuple[int, float, float, Any]] = []  # steps asked for, rate, score, curve
        self._made: dict[int, int] = {}  # steps asked for -> steps made
        self._engines: dict[int, str] = {}
        self.spent = 0

    def train(self, rates: Sequence[float], steps: int) -> None:
        """Train at these peaks, for as many steps or a little fewer: whole epochs, or a part of one."""
        epochs = max(1, round(steps / self._data.steps))
        part = min(self._data.steps, steps // epochs)
        x, y, sample_weight = self._data.first(part)
        done = train_members(
            self._model, x, y,
            members=[Member(*self._make(epochs * part, float(rate))[:2], seed=self._seed) for rate in rates],
            epochs=epochs, batch_size=self._data.batch_size, sample_weight=sample_weight,
            class_weight=self._class_weight, validation_data=self._data.validation,
        )  # fmt: skip
        scores = done.validation["loss"][:, -1]
        self._found += zip([steps] * len(rates), map(float, rates), map(float, scores), done.losses, strict=True)
        self._made[steps] = epochs * part
        self._engines.setdefault(steps, f"{epochs * part} steps, engine {done.engine}: {done.reason}")
        self.spent += epochs * part * len(rates)

    def extend(self, steps: int, ratio: float) -> bool:
        """Train at one rate more where the best of this length is at an end; says whether it was."""
        rates, scores = self.of(steps)
        end = sweep_pick.end_of_best(rates, scores)
        if end is None:
            return False
        # Where all diverged, a step of the usual width would likely not help.
        below = min(rates) / (ratio if np.isfinite(scores).any() else ratio**2)
        self.train([below if end == "lowest" else max(rates) * ratio], steps)
        return True

    def of(self, steps: int) -> tuple[list[float], list[float]]:
        """Rates and scores of the runs of this length."""
        own = [run for run in self._found if run[0] == steps]
        return [run[1] for run in own], [run[2] for run in own]

    def score_now(self) -> float:
        """The held-out loss of the model as it is."""
        held_out, size = self._data.validation, None
        if isinstance(held_out, (tuple, list)):
            size = self._data.batch_size
            x, y, *weight = held_out
            arguments = {"x": x, "y": y, "sample_weight": weight[0] if weight else None}
        else:
            arguments = {"x": held_out}
        return float(self._model.evaluate(**arguments, batch_size=size, verbose=0, return_dict=True)["loss"])

    def result(
        self, tested: RangeTest, total_steps: int, initial_score: float, *, seed: int | None, **config: Any
    ) -> Sweep:
        """What was found, the shorter runs first."""
        found = sorted(self._found, key=lambda run: run[:2])
        rates, scores = [run[1] for run in found], [run[2] for run in found]
        steps = [self._made[run[0]] for run in found]
        picked = sweep_pick.pick(rates, scores, steps, initial_score=initial_score, suggested=suggested(tested))
        schedule, _, pair = self._make(total_steps, picked.learning_rate or 1.0)
        optimizer = " ".join(type(inner).__name__ for inner in inner_optimizers(self._model.optimizer))
        return Sweep(
            learning_rates=np.array(rates),
            scores=np.where(np.isfinite(scores), scores, np.nan),
            steps=np.array(steps, dtype=np.float64),
            curves=_curves([run[3] for run in found]),
            pick=picked,
            cost=(self.spent + len(tested.learning_rates)) / total_steps,
            range_test=tested,
            total_steps=total_steps,
            initial_score=initial_score,
            held_out=self._data.told,
            seed=seed,
            config={
                **config,
                "schedule": type(schedule).__name__,
                "momentum": pair,
                "batch_size": self._data.batch_size,
                "optimizer": optimizer,
                "backend": backends.name(),
            },
            engines=tuple(self._engines.values()),
            versions={"keras": keras.__version__, **backends.versions()},
        )


def _curves(losses: Sequence[Any]) -> Any:
    """(runs, parts) the mean losses of equal parts of each run, NaN from where it diverged on, and as padding."""
    parts = [np.array_split(own, min(len(own), CURVE_PARTS)) for own in losses]
    found = np.full((len(parts), max(map(len, parts))), np.nan)
    for row, own in zip(found, parts, strict=True):
        row[: len(own)] = [part.mean() for part in own]
    return found
