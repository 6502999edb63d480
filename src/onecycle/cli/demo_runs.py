"""The trainings of `onecycle demo`: at five guessed learning rates, and at the one that onecycle finds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import keras

    from onecycle.results import CycleReport, RangeTest
    from onecycle.tasks.data import TrainTestSplit

UNITS = (512, 256)  # of the hidden layers
GUESSES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
EPOCHS, BATCH_SIZE, MOMENTUM = 20, 32, 0.9
RANGE_TEST_STEPS = 150

T = TypeVar("T")


@dataclass(frozen=True)
class DemoRun:
    """One training.

    Attributes:
        learning_rate: The constant learning rate, or the peak of the cycle.
        accuracies: Test accuracy after each epoch; NaN after it diverged.
    """

    learning_rate: float
    accuracies: tuple[float, ...]

    def epochs_to(self, target: float) -> int | None:
        """Return the first epoch, counted from 1, with at least this accuracy; None if there is none."""
        return next((epoch for epoch, accuracy in enumerate(self.accuracies, 1) if accuracy >= target), None)


@dataclass(frozen=True)
class DemoResult:
    """All that the demo ran. Every training has the same length and starts from the same weights.

    Attributes:
        guesses: Trainings at the guessed rates, which are constant.
        guessing_seconds: Wall time of all of them.
        range_test: The range test that found a rate.
        finding_seconds: Wall time of the range test.
        cycle: The training with one cycle, whose peak is the rate that was found.
        cycle_seconds: Wall time of this training.
        report: The report of this cycle.
    """

    guesses: tuple[DemoRun, ...]
    guessing_seconds: float
    range_test: RangeTest
    finding_seconds: float
    cycle: DemoRun
    cycle_seconds: float
    report: CycleReport

    @property
    def target(self) -> float:
        """The best accuracy of any guess after any epoch."""
        return max(accuracy for guess in self.guesses for accuracy in guess.accuracies if not math.isnan(accuracy))


def run_demo(seed: int, progress: Callable[[str], None]) -> DemoResult:
    """Train at each guessed rate, then find a rate and train with it.

    Args:
        seed: Random seed of the range test and of every training.
        progress: Called with the name of each stage when it begins.

    Returns:
        All runs.
    """
    from onecycle import find_learning_rate
    from onecycle.tasks import load_task

    data = _whole_batches(load_task("digits").data)
    progress(f"Training at {len(GUESSES)} guessed learning rates")
    guesses, guessing_seconds = _timed(lambda: _train_guesses(data, seed))
    progress("Finding a learning rate")
    (x, y), _ = data
    network = build_network(seed)
    range_test, finding_seconds = _timed(
        lambda: find_learning_rate(
            network, x, y, batch_size=BATCH_SIZE, num_steps=RANGE_TEST_STEPS, seed=seed, verbose=0
        )
    )
    progress("Training with one cycle at this rate")
    history, cycle_seconds = _timed(lambda: _train_cycle(range_test, data, seed))
    cycle = DemoRun(range_test.learning_rate, tuple(history.history["val_accuracy"]))
    return DemoResult(guesses, guessing_seconds, range_test, finding_seconds, cycle, cycle_seconds, history.onecycle)


def _whole_batches(data: TrainTestSplit) -> TrainTestSplit:
    """Return the data without the rows of a last, short batch, for which every program would be compiled again."""
    (x, y), test = data
    rows = len(x) - len(x) % BATCH_SIZE
    return (x[:rows], y[:rows]), test


def build_network(seed: int, learning_rate: float = 0.01) -> keras.Model:
    """Return the compiled network of the demo, a dense one.

    Args:
        seed: Random seed of its weights and of its training.
        learning_rate: Learning rate of SGD.
    """
    import keras

    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Flatten(), *(keras.layers.Dense(units, "relu") for units in UNITS)]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, "softmax")], name="digits")
    optimizer = keras.optimizers.SGD(learning_rate, momentum=MOMENTUM)
    network.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def _train_guesses(data: TrainTestSplit, seed: int) -> tuple[DemoRun, ...]:
    """Train at each guessed rate, all in one compiled program where the backend has one."""
    from onecycle.engine import Member, train_members

    (x, y), test = data
    runs = train_members(
        build_network(seed), x, y, members=[Member(rate, seed=seed) for rate in GUESSES], epochs=EPOCHS,
        batch_size=BATCH_SIZE, validation_data=test, validate="each",
    )  # fmt: skip
    return tuple(
        DemoRun(rate, tuple(accuracies))
        for rate, accuracies in zip(GUESSES, runs.validation["accuracy"].tolist(), strict=True)
    )


def _train_cycle(range_test: RangeTest, data: TrainTestSplit, seed: int) -> keras.callbacks.History:
    from onecycle import fit_one_cycle

    (x, y), test = data
    return fit_one_cycle(
        build_network(seed), x, y, batch_size=BATCH_SIZE, epochs=EPOCHS, validation_data=test,
        max_learning_rate=range_test, verbose=0,
    )  # fmt: skip


def _timed(function: Callable[[], T]) -> tuple[T, float]:
    """Return the result of a function and its wall time in seconds."""
    started = time.perf_counter()
    return function(), time.perf_counter() - started
