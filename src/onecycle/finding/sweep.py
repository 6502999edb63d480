"""`sweep_learning_rates`: a few short annealed runs, and the peak that they suggest for the full run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from onecycle.finding.progress import StepProgress
from onecycle.finding.range_test import find_learning_rate
from onecycle.finding.sweep_budget import FACTORS, SEARCH_RATIO, SEARCH_RUNS, SweepBudget, epochs_of_longest_run
from onecycle.finding.sweep_data import SweepData, check_sweep_data, prepare_sweep_data
from onecycle.finding.sweep_runs import RunSchedules, SweepRuns, suggested_peak
from onecycle.keras_support import data_faults, training_data
from onecycle.keras_support.fit_start import build_model, start_fit
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.optimizers import build_optimizer, steps_per_update
from onecycle.keras_support.snapshot import preserving
from onecycle.keras_support.types import Nested
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.suggestions import sweep_pick
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_integer, check_number, check_seed, check_verbose
from onecycle.training.cycle_spec import MomentumPair, ScheduleMaker

# Of the full run. With less, the picks are no better than a range test (studies/2026-11-23_picking_the_rate).
DEFAULT_BUDGET = 1.0
EXTENSION_RATIO = 2.0  # to one more rate, if the best run has the lowest or the highest one
MAX_SEARCH_EXTENSIONS = 2


@suggest_names()
def sweep_learning_rates(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    epochs: int,
    budget: float = DEFAULT_BUDGET,
    schedule: ScheduleMaker | None = None,
    momentum: str | MomentumPair | None = "auto",
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    validation_data: Nested = None,
    sample_weight: Nested = None,
    class_weight: dict[int, float] | None = None,
    seed: int | None = None,
    verbose: int | str = "auto",
) -> Sweep:
    """Pick the peak learning rate for a full training run with a few short runs.

    A range test suggests a peak. Four or five short runs with peaks around it start from the current state of the
    model. Each uses a complete schedule over a small part of the steps of the full run, and is judged on held-out
    data. The pick depends on the scores and on the suggestion. It lies a little below the best if a peak that is too
    high costs more than one that is too low. If the range test suggests nothing, shorter runs first search for the
    right region. The model is left unchanged.

    On JAX and TensorFlow the runs are loops inside one compiled program (see `onecycle.engine`); elsewhere they are
    calls of `fit`.

    Args:
        model: A compiled model, new or trained. For a `MultiOptimizer` the pick is for the inner optimizer with the
            largest learning rate; the others keep their proportion to it.
        x: Training data, as `Model.fit` takes it, except generators. Of a data set, only the batches that are needed
            are read and kept in memory.
        y: Targets, as in `fit`.
        epochs: Epochs of the full run.
        budget: Training steps of the sweep, range test included, as a fraction of those of the full run; above 0.
        schedule: A callable `(total_steps, max_learning_rate) -> schedule` that replaces the article's cycle, as in
            `fit_one_cycle`.
        momentum: As in `OneCycleScheduler`.
        batch_size: As in `fit`; 32 for arrays.
        steps_per_epoch: As in `fit`. Required for a data set of unknown or infinite length.
        validation_data: The held-out data on which the runs are judged, as `fit` takes it. By default, a random fifth
            of the training data is held out. Pass it if neighboring rows are similar, as in a time series.
        sample_weight: As in `fit`, for arrays.
        class_weight: As in `fit`.
        seed: Makes the split, the data order and unseeded layers reproducible on the same machine and backend. With
            None, they depend on the global random states.
        verbose: 0 or 2 for silence, 1 for a progress bar, `"auto"` for 1.

    Returns:
        A `Sweep`. `result.learning_rate` is the pick. If there is no good pick, it raises an error with the reason.

    Raises:
        ValueError: For invalid arguments, a budget that is too small for a sweep, or a model that is not compiled.

    Example:

    ```python
    result = onecycle.sweep_learning_rates(model, x, y, epochs=20)
    onecycle.fit_one_cycle(model, x, y, epochs=20, max_learning_rate=result)
    ```

    References:
        R. Egele et al., The unreasonable effectiveness of early discarding after one epoch (2024), arXiv:2404.04111.
    """
    check_model(model, x)
    check_integer("epochs", epochs)
    if steps_per_epoch is not None:
        check_integer("steps_per_epoch", steps_per_epoch)
    check_number("budget", budget, above=0.0)
    schedules = RunSchedules(model, schedule, momentum)
    arguments = {"batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    training_data.check_data(model, x, y, **arguments)
    check_sweep_data(model, x, validation_data, batch_size)
    check_seed(seed)
    check_verbose(verbose)
    build_model(model, x, y, **arguments)
    data_faults.check_data_values(model, x, y, sample_weight, class_weight)
    if isinstance(validation_data, tuple | list):
        data_faults.check_data_values(model, *validation_data, part_of="validation_data")
    start_fit(model, x, y, **arguments, steps_per_epoch=steps_per_epoch, validation_data=validation_data)

    def run() -> Sweep:
        build_optimizer(model.optimizer, model)  # once for all runs, whose programs hold on to its variables
        random = np.random if seed is None else np.random.RandomState(seed % 2**32)
        data = prepare_sweep_data(
            model, x, y, sample_weight, batch_size=batch_size, steps_per_epoch=steps_per_epoch,
            validation_data=validation_data, random=random, epochs_read=epochs_of_longest_run(epochs, budget),
        )  # fmt: skip
        steps = SweepBudget(data.steps_per_epoch * epochs, budget, steps_per_update(model.optimizer))
        schedules(steps.total_steps, 1.0)  # so that an error in the user's callable comes before any training
        runs = SweepRuns(model, data, schedules, class_weight=class_weight, seed=int(random.randint(2**31)))
        initial_score = runs.initial_score()
        progress = StepProgress(steps.sweep_steps, verbose)
        range_test = _range_test(model, data, class_weight, steps, seed)
        if data.hint:
            range_test = replace(range_test, hints=(*range_test.hints, data.hint))
        range_test_steps = range_test.training_steps or 0
        progress.update(range_test_steps)
        _train_runs(runs, steps, range_test, lambda: progress.update(runs.steps_spent + range_test_steps))
        progress.finish()
        return runs.result(
            range_test, total_steps=steps.total_steps, initial_score=initial_score, seed=seed, epochs=epochs,
            budget=budget,
        )  # fmt: skip

    return preserving(model, run, data=(x, validation_data))


def _range_test(
    model: keras.Model, data: SweepData, class_weight: dict[int, float] | None, steps: SweepBudget, seed: int | None
) -> RangeTest:
    x, y, sample_weight = data.all()
    return find_learning_rate(
        model, x, y, batch_size=data.fit_batch_size, sample_weight=sample_weight, class_weight=class_weight,
        num_steps=steps.range_test_steps // steps.steps_per_update, seed=seed, verbose=0,
    )  # fmt: skip


def _train_runs(runs: SweepRuns, steps: SweepBudget, range_test: RangeTest, report: Callable[[], None]) -> None:
    """Train the runs around the peak that the range test suggests, or that a search finds."""
    center = range_test.suggestions["one_cycle"].learning_rate or _search(runs, steps, range_test, report)
    steps_per_run = steps.steps_per_run(runs.steps_spent)
    runs.train([center * factor for factor in FACTORS], steps_per_run)
    report()
    # `steps_per_run` leaves room for one more run, unless a search has used it up.
    if runs.steps_spent + steps_per_run <= steps.sweep_steps - steps.range_test_steps:
        runs.extend(steps_per_run, EXTENSION_RATIO)
        report()


def _search(runs: SweepRuns, steps: SweepBudget, range_test: RangeTest, report: Callable[[], None]) -> float:
    """Return the center for the runs, found with shorter runs from the blow-up (or the highest rate) downwards."""
    start, ratio = range_test.suggestions["one_cycle"].seen_at, SEARCH_RATIO
    if start is None:
        # No blow-up was seen, so the best rate may be further below the highest one.
        start, ratio = float(range_test.learning_rates[-1]), SEARCH_RATIO**2
    runs.train([start / ratio**k for k in range(SEARCH_RUNS)], steps.search_steps)
    report()
    for _ in range(MAX_SEARCH_EXTENSIONS):
        if not runs.extend(steps.search_steps, ratio):
            break
        report()
    return sweep_pick.search_center(*runs.scores_of(steps.search_steps), suggested=suggested_peak(range_test))
