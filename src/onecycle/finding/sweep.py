"""`sweep_learning_rates`: a few short annealed runs, and the peak they point at for the whole one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule as Schedule

from onecycle.finding import sweep_data
from onecycle.finding.range_test import find_learning_rate
from onecycle.finding.sweep_runs import Cycles, Runs, suggested
from onecycle.keras_support import training_data
from onecycle.keras_support.optimizers import build_optimizer, require_compiled
from onecycle.keras_support.snapshot import preserved
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.suggestions import sweep_pick
from onecycle.suggestions.arguments import count, number

DEFAULT_BUDGET = 1.0  # of the whole run; less picks no better than a range test (studies/2026-11-23_picking_the_rate)
# Of the budget. In fewer steps a range test sees less, and at most as many as `find_learning_rate` makes.
RANGE_TEST_SHARE, RANGE_TEST_STEPS = 0.35, (20, 300)
FACTORS = (0.5, 1.0, 2.0, 4.0)  # times what the range test suggests: the best peaks lay 0.4 to 5 times it
RATIO = 2.0  # to one rate more, where the best is at an end
# Where the range test suggests nothing: so much of what is left for shorter runs, down from the highest rate.
SEARCH_SHARE, SEARCH, SEARCH_RATIO = 0.35, 5, 10**0.5
EXTENSIONS = 2  # of the search, more rates beyond an end at which the best is
LEAST_STEPS = 5  # of a run; the schedule of a shorter one has no shape


def sweep_learning_rates(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    budget: float = DEFAULT_BUDGET,
    schedule: Callable[[int, float], Schedule] | None = None,
    momentum: str | tuple[float, float] | None = "auto",
    batch_size: int | None = None,
    validation_data: Any = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    seed: int | None = None,
    verbose: int | str = "auto",
) -> Sweep:
    """Pick the peak learning rate for a whole training run by a few short ones.

    A range test suggests a peak. Around it a handful are trained from where the model is, each on a small share of
    the whole run with its schedule to the end, and judged on held-out data. Their scores and the suggestion together
    make the pick, which lies a little low where too high would cost more than too low (see `onecycle.picking`). Where
    the range test suggests nothing, still shorter runs look for the place first. The model is given back as it was.

    On JAX and TensorFlow the runs are loops inside one compiled program (see `onecycle.engine`); elsewhere they are
    calls of `fit`.

    Args:
        model: A compiled model, new or trained. Of a `MultiOptimizer` one factor on all rates is picked: what is
            returned is that of the inner optimizer with the largest.
        x: Training data, as `Model.fit` takes them, but for generators. Of a data set with a known length as many
            batches as are needed are drawn and kept in memory.
        y: Targets, as in `fit`.
        epochs: Epochs of the whole run.
        budget: All training steps of the sweep, range test included, as a share of the whole run's; > 0.
        schedule: A callable `(total_steps, max_learning_rate) -> schedule` in place of the article's cycle, as in
            `fit_one_cycle`.
        momentum: As in `OneCycleScheduler`.
        batch_size: As in `fit`; 32 for arrays.
        validation_data: What the runs are judged on, as `fit` takes it. Without, a fifth of the training data, drawn at
            random, is held out of the sweep. Where neighbouring rows are alike, as in a time series, pass some.
        sample_weight: As in `fit`, for arrays.
        class_weight: As in `fit`.
        seed: Makes the split, the data order and unseeded layers repeat exactly on the same machine and backend. None
            leaves the global random states in charge.
        verbose: 0 or 2 for silence, 1 for a progress bar, `"auto"` for 1.

    Returns:
        A `Sweep`. `result.learning_rate` is the number; where none is believed it raises an error with the reason.

    Raises:
        ValueError: For bad arguments, a budget too small for a sweep, or a model that is not compiled.

    Example:

    ```python
    result = sweep_learning_rates(model, x, y, epochs=20)
    onecycle.fit_one_cycle(model, x, y, epochs=20, max_learning_rate=result)
    ```

    References:
        R. Egele et al., The unreasonable effectiveness of early discarding after one epoch (2024), arXiv:2404.04111.
    """
    require_compiled(model)
    count("epochs", epochs)
    number("budget", budget, above=0.0)
    make = Cycles(model, schedule, momentum)
    training_data.check(x, y, batch_size)
    sweep_data.check(x, validation_data)
    if seed is not None:
        count("seed", seed, least=0)
    training_data.build(model, x, y, batch_size)
    with preserved(model):
        build_optimizer(model.optimizer, model)  # once for all runs, whose programs hold on to its variables
        random: Any = np.random if seed is None else np.random.RandomState(seed % 2**32)
        data = sweep_data.hold(
            x, y, sample_weight, batch_size=batch_size, validation_data=validation_data, random=random,
            share=longest_share(epochs, budget),
        )  # fmt: skip
        plan = Plan(data.steps_per_epoch * epochs, budget)
        make(plan.total_steps, 1.0)  # what could not be made is an error before any training
        runs = Runs(model, data, make, class_weight, int(random.randint(2**31)))
        initial_score = runs.score_now()
        bar = _Bar(plan.most, verbose)
        tested = _range_test(model, data, class_weight, plan, seed)
        bar.show(len(tested.learning_rates))
        _sweep(runs, plan, tested, lambda: bar.show(runs.spent + len(tested.learning_rates)))
        bar.end()
        return runs.result(tested, plan.total_steps, initial_score, seed=seed, epochs=epochs, budget=budget)


class Plan:
    """How many steps each part of a sweep may make.

    Attributes:
        total_steps: Of the whole run.
        most: Of the sweep.
        range_test: Of the range test.
        search: Of each of the runs that look for the place where the range test suggests none.
    """

    def __init__(self, total_steps: int, budget: float) -> None:
        self.total_steps, self.most = total_steps, int(budget * total_steps)
        low, high = RANGE_TEST_STEPS
        self.range_test = min(max(round(RANGE_TEST_SHARE * self.most), low), high)
        self.search = int(SEARCH_SHARE * (self.most - self.range_test) / SEARCH)
        if self.search < LEAST_STEPS:
            runs = LEAST_STEPS * SEARCH / SEARCH_SHARE
            needed = max(low + runs, runs / (1 - RANGE_TEST_SHARE))
            raise ValueError(
                f"Argument `budget` allows {self.most} of the {total_steps} steps of the whole run, and a sweep needs "
                f"{int(needed) + 1}. Pass a larger `budget`, or take a range test, `find_learning_rate`, for a run so "
                f"short. Received: budget={budget:g}"
            )

    def steps(self, spent: int) -> int:
        """Steps of each of the runs, with room for one more than there are, once so many are spent on others."""
        return max(self.search, (self.most - self.range_test - spent) // (len(FACTORS) + 1))


def longest_share(epochs: int, budget: float) -> float:
    """Of an epoch, what the longest run of a sweep reads at most."""
    return float(min(1.0, budget * epochs / (len(FACTORS) + 1)))


def _range_test(model: Any, data: Any, class_weight: Any, plan: Plan, seed: int | None) -> RangeTest:
    x, y, sample_weight = data.train
    return find_learning_rate(
        model, x, y, batch_size=data.batch_size, sample_weight=sample_weight, class_weight=class_weight,
        num_steps=plan.range_test, seed=seed, verbose=0,
    )  # fmt: skip


def _sweep(runs: Runs, plan: Plan, tested: RangeTest, show: Callable[[], None]) -> None:
    """Make the runs around what the range test suggests, or around what a search finds."""
    middle = tested.suggestions["one_cycle"].learning_rate or _searched(runs, plan, tested, show)
    steps = plan.steps(runs.spent)
    runs.train([middle * factor for factor in FACTORS], steps)
    show()
    if runs.spent + steps <= plan.most - plan.range_test:
        runs.extend(steps, RATIO)
        show()


def _searched(runs: Runs, plan: Plan, tested: RangeTest, show: Callable[[], None]) -> float:
    """Where to look, by short runs down from the blow-up; where none was seen, further down from the highest rate."""
    seen_at, ratio = tested.suggestions["one_cycle"].seen_at, SEARCH_RATIO
    if seen_at is None:
        seen_at, ratio = float(tested.learning_rates[-1]), SEARCH_RATIO**2
    runs.train([seen_at / ratio**k for k in range(SEARCH)], plan.search)
    show()
    for _ in range(EXTENSIONS):
        if not runs.extend(plan.search, ratio):
            break
        show()
    return sweep_pick.centre(*runs.of(plan.search), suggested=suggested(tested))


class _Bar:
    """Keras' progress bar over the steps of a sweep, or nothing."""

    def __init__(self, steps: int, verbose: int | str) -> None:
        # For 2, which is for outputs that are no terminal, `fit` draws no bar either.
        self._bar = keras.utils.Progbar(steps, unit_name="step") if verbose and verbose != 2 else None
        self._steps, self._at = steps, 0

    def show(self, at: int) -> None:
        self._at = at
        if self._bar:
            self._bar.update(min(at, self._steps))

    def end(self) -> None:
        if self._bar and self._at < self._steps:
            self._bar.update(self._at, finalize=True)
