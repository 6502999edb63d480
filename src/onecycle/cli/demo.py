"""The demo's work: find a rate on the digits, train a baseline and a 1cycle run, draw what happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TASK = "digits"
BASELINE_RATE = 0.01  # of the plain SGD that Keras gives where nothing is said, the article's baseline
BASELINE_EPOCHS = 30
CYCLE_EPOCHS = 10

# Called with the name of a stage and how much of it is done, from 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Run:
    """One training: its name, its highest rate, test accuracy after each epoch, and seconds, the finder's included."""

    name: str
    learning_rate: float
    accuracies: tuple[float, ...]
    seconds: float

    def epochs_to(self, target: float) -> int | None:
        """Return the first epoch, counted from 1, with at least this accuracy; None if it was never reached."""
        return next((n for n, accuracy in enumerate(self.accuracies, 1) if accuracy >= target), None)


@dataclass(frozen=True)
class Outcome:
    """What the demo found out: the range test, the two runs, and the schedule of the second."""

    range_test: Any
    baseline: Run
    cycle: Run
    schedule: Any

    @property
    def target(self) -> float:
        """The baseline's best accuracy, which both runs are measured against."""
        return max(self.baseline.accuracies)


def run_demo(seed: int, progress: Progress) -> Outcome:
    """Find the rate, then train the same model twice from the same start."""
    import keras

    import onecycle
    from onecycle.tasks import load_task

    task = load_task(TASK)
    (x, y), test = task.data

    stage = "Finding the learning rate"
    progress(stage, 0.0)
    started = time.perf_counter()
    # One test of so small a network is noisy, and five take some seconds.
    found = onecycle.find_learning_rate(
        task.build(seed), x, y, batch_size=task.batch_size, repeats=5, seed=seed, verbose=0
    )
    rate = found.learning_rate
    finding = time.perf_counter() - started
    progress(stage, 1.0)

    common: dict[str, Any] = {"validation_data": test, "batch_size": task.batch_size, "verbose": 0}
    plain = task.build(seed, keras.optimizers.SGD(BASELINE_RATE))
    baseline, seconds = timed(
        lambda: plain.fit(
            x, y, epochs=BASELINE_EPOCHS, callbacks=[reporter("Baseline", BASELINE_EPOCHS, progress)], **common
        )
    )
    first = Run("plain SGD", BASELINE_RATE, tuple(baseline.history["val_accuracy"]), seconds)
    history, seconds = timed(
        lambda: onecycle.fit_one_cycle(
            task.build(seed),
            x,
            y,
            epochs=CYCLE_EPOCHS,
            max_learning_rate=rate,
            callbacks=[reporter("1cycle", CYCLE_EPOCHS, progress)],
            **common,
        )
    )
    second = Run("1cycle", rate, tuple(history.history["val_accuracy"]), finding + seconds)
    steps = CYCLE_EPOCHS * -(-len(x) // task.batch_size)
    return Outcome(found, first, second, onecycle.OneCycle(rate, steps))


def timed(train: Callable[[], Any]) -> tuple[Any, float]:
    """Return what the training returns and the seconds it took."""
    started = time.perf_counter()
    return train(), time.perf_counter() - started


def reporter(stage: str, epochs: int, progress: Progress) -> Any:
    """Return a Keras callback that tells of each epoch's end."""
    import keras

    return keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: progress(stage, 0.0),
        on_epoch_end=lambda epoch, logs: progress(stage, (epoch + 1) / epochs),
    )


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """Write the pictures and the range test's data, and return their paths."""
    from onecycle.plot import plot_schedule, plot_training_curves, save_figure

    folder.mkdir(parents=True, exist_ok=True)
    runs = {run.name: run.accuracies for run in (outcome.baseline, outcome.cycle)}
    pictures = {
        "range_test.png": outcome.range_test.plot(),
        "schedule.png": plot_schedule(outcome.schedule, outcome.schedule.momentum()),
        "training_curves.png": plot_training_curves(runs, "accuracy", target=outcome.target),
    }
    for name, axes in pictures.items():
        save_figure(axes, folder / name)
    outcome.range_test.save(folder / "range_test.json")
    return [folder / name for name in (*pictures, "range_test.json")]
