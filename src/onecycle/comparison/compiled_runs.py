"""All seeds of an arm trained in one compiled program, on JAX. The records equal those of runs made one by one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule

from onecycle.comparison.arms import Arm
from onecycle.comparison.runs import (
    RunKey,
    SharedSettings,
    TrainedRun,
    finder_cost,
    run_record,
    start_run,
)
from onecycle.comparison.splits import TrainingSplit
from onecycle.engine import Member, MemberRuns, NotCompiled, train_members
from onecycle.engine.eligibility import reason_not_compiled
from onecycle.engine.program_cache import bytes_of
from onecycle.hyperparameters.evaluation import evaluate
from onecycle.keras_support import compilation, training_data
from onecycle.keras_support.model_state import has_unbuilt_metrics
from onecycle.keras_support.optimizers import is_multi_optimizer, learning_rate_setting
from onecycle.keras_support.snapshot import preserving
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.results.runs import RunRecord
from onecycle.training.peak import find_peak

MAX_BYTES_TOGETHER = 2**28  # of the seeds that are trained together; more are no faster on a CPU
COPIES_OF_WEIGHTS = 4  # of each seed: its model, the state before and after a call, and the optimizer's variables


def train_compiled_runs(
    settings: SharedSettings, arms: Mapping[str, Arm], keys: Sequence[RunKey]
) -> Iterator[RunRecord]:
    """Train runs in compiled programs, one program for all seeds of an arm, and yield their records arm by arm.

    Runs are trained here only if all arms can be trained by a compiled program that is faster than `fit`. No records
    are yielded for other runs, which the caller trains one by one.

    Args:
        settings: What all runs share.
        arms: Name -> arm.
        keys: The runs to train.
    """
    # On other backends a compiled program reads the rows in another order than `fit`, so the runs would differ.
    if not compilation.shuffles_like_fit():
        return
    if callable(settings.data) or not _are_arrays(settings.data):
        return
    if any(arm.callbacks is not None for arm in arms.values()):
        return
    # Arms that search for a rate come last: if no program can be compiled, that shows before the first search.
    for arm in sorted(arms.values(), key=lambda arm: arm.finds_peak):
        seeds = [seed for name, seed in keys if name == arm.name]
        while len(seeds) > 1:
            try:
                records = SeedBatch.start(settings, arm, seeds, settings.data).train()
            except ValueError:  # `NotCompiled`, or an error that the run itself will report with its arm and seed
                return
            yield from records
            seeds = seeds[len(records) :]


@dataclass(frozen=True)
class PlannedMember:
    """One seed's run before training.

    Attributes:
        member: What the program trains.
        scheduled: What the cycle schedules, by the names in the history of `fit_one_cycle`. Empty without a cycle.
        finder: Result of the search for the peak, or None.
        seconds: Seconds that the search took.
    """

    member: Member
    scheduled: Mapping[str, LearningRateSchedule] = field(default_factory=dict)
    finder: RangeTest | Race | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class SeedBatch:
    """Seeds of one arm, to be trained in one program.

    Attributes:
        settings: What all runs share.
        arm: The arm.
        seeds: The seeds.
        data: The data, the same for every seed.
        models: The model of each seed before training.
        configs: The settings of each seed's run, with the digests of its start.
    """

    settings: SharedSettings
    arm: Arm
    seeds: Sequence[int]
    data: TrainingSplit
    models: Sequence[keras.Model]
    configs: Sequence[Mapping[str, object]]

    @classmethod
    def start(cls, settings: SharedSettings, arm: Arm, seeds: Sequence[int], data: TrainingSplit) -> SeedBatch:
        """Build the models of the first seeds: as many as fit into memory together, and at least two.

        Args:
            settings: What all runs share.
            arm: The arm.
            seeds: At least two seeds.
            data: The data.

        Raises:
            NotCompiled: If the model cannot be trained by a compiled program.
        """
        first = start_run(settings, arm, seeds[0], data)
        (x, y), _ = data
        # All models have the same layers, so the first one decides for all.
        reason = reason_not_compiled(first[0], x, y)
        if reason or is_multi_optimizer(first[0].optimizer):
            raise NotCompiled(reason)
        number = _number_together(first[0])
        # A single seed that is left would be trained by `fit`, in another time.
        together = seeds[: number + (len(seeds) == number + 1)]
        models, configs = zip(first, *(start_run(settings, arm, seed, data) for seed in together[1:]), strict=True)
        return cls(settings, arm, together, data, models, configs)

    def train(self) -> list[RunRecord]:
        """Train all seeds and return their records.

        The training time is shared equally between the seeds. The time of a search for the peak counts for its seed.
        """
        (x, y), validation = self.data
        began = time.perf_counter()
        planned = self._planned()
        # With "compiled", the engine raises an error before any training if `fit` would be faster.
        runs = train_members(
            self.models[0], x, y,
            members=[plan.member for plan in planned], epochs=self._epochs, batch_size=self._batch_size,
            validation_data=validation, validate="each", engine="compiled",
        )  # fmt: skip
        searching = sum(plan.seconds for plan in planned)
        seconds = (time.perf_counter() - began - searching) / len(self.seeds)
        return [self._record(k, plan, runs, seconds) for k, plan in enumerate(planned)]

    def _planned(self) -> list[PlannedMember]:
        """Return the member of each seed.

        All peaks are found with the first model, to which the weights of the others are assigned, so that one compiled
        program serves all searches.
        """
        model = self.models[0]
        pairs = [*zip(self.seeds, self.models, strict=True)]
        return preserving(model, lambda: [self._planned_member(model, *pair) for pair in pairs])

    def _planned_member(self, model: keras.Model, seed: int, start: keras.Model) -> PlannedMember:
        began, spec = time.perf_counter(), self.arm.cycle_spec
        # A compiled program skips the order of rows that the first `fit` of a model draws to build its metrics.
        skipped = int(has_unbuilt_metrics(start))
        if spec is None:
            return PlannedMember(Member(_compiled_rate(model), seed=seed, start=start, skipped=skipped))
        for variable, value in zip(model.variables, start.variables, strict=True):
            variable.assign(keras.ops.convert_to_numpy(value))
        (x, y), _ = self.data
        result = find_peak(spec, model, x, y, batch_size=self._batch_size, seed=seed, verbose=0)
        known = spec if result is None else spec.with_peak(result.learning_rate)
        schedules = known.schedules(model.optimizer, self._epochs * self._steps_per_epoch)
        member = Member(schedules.learning_rate, schedules.momentum, seed=seed, start=start, skipped=skipped)
        return PlannedMember(member, schedules.by_name, result, 0.0 if result is None else time.perf_counter() - began)

    def _record(self, k: int, plan: PlannedMember, runs: MemberRuns, seconds: float) -> RunRecord:
        history, diverged = _history(runs, k, self._last_values(plan))
        # The history of a diverged seed ends with the epoch after which `fit` would have stopped.
        epochs = range(1, len(history["loss"]) + 1)
        trained = TrainedRun(
            config={**self.configs[k], "trained": f"{len(self.seeds)} seeds together: {runs.reason}"},
            history=history,
            steps=[epoch * self._steps_per_epoch for epoch in epochs],
            samples=[epoch * self._rows for epoch in epochs],
            seconds=[plan.seconds + seconds * epoch / self._epochs for epoch in epochs],
            finder=finder_cost(plan.finder, plan.seconds),
            diverged=diverged,
        )
        return run_record(self.settings, self.arm, self.seeds[k], trained)

    def _last_values(self, plan: PlannedMember) -> dict[str, list[float]]:
        """Return the scheduled values of the last step of each epoch, as `fit_one_cycle` adds them to the history."""
        last_steps = [epoch * self._steps_per_epoch - 1 for epoch in range(1, self._epochs + 1)]
        return {
            name: [float(evaluate(schedule, step)) for step in last_steps] for name, schedule in plan.scheduled.items()
        }

    @property
    def _epochs(self) -> int:
        return self.settings.epochs_of(self.arm)

    @property
    def _batch_size(self) -> int:
        return self.settings.batch_size_of(self.arm) or training_data.DEFAULT_BATCH_SIZE

    @property
    def _rows(self) -> int:
        (x, _), _ = self.data
        return training_data.count_rows(x)

    @property
    def _steps_per_epoch(self) -> int:
        return math.ceil(self._rows / self._batch_size)


def _number_together(model: keras.Model) -> int:
    """Return how many seeds are trained together."""
    weights = sum(map(bytes_of, model.variables))
    return max(2, MAX_BYTES_TOGETHER // max(1, COPIES_OF_WEIGHTS * weights))


def _are_arrays(data: TrainingSplit) -> bool:
    return all(map(training_data.is_arrays, data))


def _compiled_rate(model: keras.Model) -> float | LearningRateSchedule:
    """Return the learning rate that the model was compiled with: a schedule or a number."""
    setting = learning_rate_setting(model.optimizer)
    return setting if callable(setting) else float(keras.ops.convert_to_numpy(setting))


def _history(
    runs: MemberRuns, k: int, scheduled: Mapping[str, list[float]]
) -> tuple[dict[str, list[float]], int | None]:
    """Return a member's history as `fit` would report it, up to the epoch in which it diverged, and that epoch."""
    # `fit` reports the training metrics first, each group in alphabetical order.
    trained = sorted([*((name, table[k]) for name, table in runs.metrics.items()), *scheduled.items()])
    validated = [(f"val_{name}", table[k]) for name, table in sorted(runs.validation.items())]
    # A metric with a value for each class is left out, as in runs by `fit`.
    history = {name: list(map(float, values)) for name, values in (*trained, *validated) if np.ndim(values) == 1}
    diverged = next((epoch for epoch, loss in enumerate(history["loss"], 1) if not math.isfinite(loss)), None)
    return {name: values[:diverged] for name, values in history.items()}, diverged
