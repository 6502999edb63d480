"""A finding on a learning rate at which training diverges with the given batch size."""

from __future__ import annotations

import keras

from onecycle.finding.look import NotChecked
from onecycle.finding.range_test import find_learning_rate
from onecycle.keras_support import training_data
from onecycle.keras_support.types import Nested
from onecycle.results.findings import Finding
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.divergence import StopReason

START = 1e-3  # of the rate, from which the test rises to it
STEPS = 100
DIVERGED = (StopReason.DIVERGED, StopReason.NON_FINITE)
SEEDS = (0, 1)  # a single run may diverge by chance


def unstable_rate(model: keras.Model, data: dict[str, Nested], learning_rate: float | None) -> Finding | None:
    """Return a finding on a learning rate that a short range test does not reach.

    Args:
        model: The compiled model, which is left unchanged.
        data: The arguments `x`, `y`, `batch_size`, `sample_weight` and `class_weight` of `fit`.
        learning_rate: The rate, or None for that of the optimizer.

    Raises:
        NotChecked: If the optimizer has no single rate, or the range test cannot be made.
    """
    rate = _rate_of(model) if learning_rate is None else learning_rate
    tests: list[RangeTest] = []
    for seed in SEEDS:
        try:
            test = find_learning_rate(
                model, **data, min_learning_rate=START * rate, max_learning_rate=rate, num_steps=STEPS, seed=seed,
                verbose=0, plot=False,
            )  # fmt: skip
        except Exception as error:
            raise NotChecked(f"the range test raised {type(error).__name__}: {error}") from error
        if test.stop_reason not in DIVERGED or len(test.learning_rates) >= STEPS:
            return None
        tests.append(test)
    size = training_data.known_batch_size(data["x"], data["batch_size"])
    reached = min(float(test.learning_rates[-1]) for test in tests)
    return Finding(
        "unstable learning rate",
        f"Training diverges before it reaches the learning rate of {rate:.3g}"
        + ("" if size is None else f" with a batch size of {size}")
        + f": when the rate rises in {STEPS} steps, the loss shoots up at {reached:.3g}. At best, the epochs until the "
        "rate has fallen below that are lost; at worst, all weights become NaN.",
        "Find the rate for this batch size with `onecycle.find_learning_rate`. A larger batch does not bear any rate "
        "that is scaled with it: there is a limit that depends on the model and the data.",
    )


def _rate_of(model: keras.Model) -> float:
    try:
        rate = float(model.optimizer.learning_rate)
    except (AttributeError, TypeError, ValueError) as error:  # `MultiOptimizer` has several
        raise NotChecked("the optimizer has no single learning rate: pass `learning_rate`") from error
    if not rate > 0:
        raise NotChecked(f"the learning rate of the optimizer is {rate:g}")
    return rate
