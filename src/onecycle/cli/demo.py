"""`onecycle demo`: a learning rate for handwritten digits, and training with and without 1cycle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from onecycle.cli import console
from onecycle.cli.environment import Backend, check_output_folder, select_backend
from onecycle.cli.options import MAX_SEED, BackendChoice, Debug

if TYPE_CHECKING:
    import keras
    from rich.console import Console
    from rich.progress import TaskID
    from rich.table import Table as RichTable

    from onecycle import OneCycle
    from onecycle.results import RangeTest
    from onecycle.tasks import Task

TASK_NAME = "digits"
BASELINE_LEARNING_RATE = 0.01  # the default of keras.optimizers.SGD, and the baseline of the article
BASELINE_EPOCHS = 30
CYCLE_EPOCHS = 10
RANGE_TEST_REPEATS = 5  # one range test of such a small network is noisy

T = TypeVar("T")
# Called with the name of a stage and the fraction of it that is done.
ProgressFunction = Callable[[str, float], None]


def demo_command(
    output: Annotated[Path, typer.Option(file_okay=False, help="Folder for the plots.")] = Path("onecycle-demo"),
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Random seed of both training runs.")] = 0,
    backend: BackendChoice = None,
    debug: Debug = False,
) -> None:
    """Run onecycle on handwritten digits: find a learning rate, then train with and without 1cycle."""
    with console.exit_codes(debug=debug):
        check_output_folder(output, "--output")
        select_backend(backend, default=Backend.tensorflow)
        from rich.console import Console

        terminal = Console()
        terminal.print("Handwritten digits, a small CNN. One range test, then two training runs from the same start.")
        result = _run_with_progress_bars(terminal, seed)
        suggestion = result.range_test.suggestion
        terminal.print(f"\nFound learning rate: [bold]{suggestion.learning_rate:.3g}[/bold]", highlight=False)
        # The reason is plain text: rich would read brackets in it as markup.
        terminal.print(f"{suggestion.reason}\n", highlight=False, markup=False)
        terminal.print(_run_table(result))
        terminal.print("This is one pair of runs with 360 test images. It does not show which method is better.\n")
        for path in write_demo_files(result, output):
            terminal.print(f"Wrote {path}", highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class DemoRun:
    """One training run.

    Attributes:
        name: Name of the method.
        learning_rate: The constant learning rate, or the peak of the cycle.
        accuracies: Test accuracy after each epoch.
        seconds: Wall time, with the range test if there was one.
    """

    name: str
    learning_rate: float
    accuracies: tuple[float, ...]
    seconds: float

    def epochs_to(self, target: float) -> int | None:
        """Return the first epoch, counted from 1, with at least this accuracy; None if there is none."""
        return next((epoch for epoch, accuracy in enumerate(self.accuracies, 1) if accuracy >= target), None)


@dataclass(frozen=True)
class DemoResult:
    """The range test and the two training runs of the demo.

    Attributes:
        range_test: The range test that found the peak of the cycle.
        baseline: SGD with a constant learning rate.
        cycle: 1cycle with the peak that was found.
        schedule: The schedule of `cycle`.
    """

    range_test: RangeTest
    baseline: DemoRun
    cycle: DemoRun
    schedule: OneCycle

    @property
    def target(self) -> float:
        """The best accuracy of the baseline."""
        return max(self.baseline.accuracies)


def run_demo(seed: int, progress: ProgressFunction) -> DemoResult:
    """Find a learning rate, then train the same model twice from the same initial weights.

    Args:
        seed: Random seed of the range test and of both training runs.
        progress: Called during each stage.

    Returns:
        The range test and both training runs.
    """
    from onecycle import OneCycle
    from onecycle.tasks import load_task

    task = load_task(TASK_NAME)
    # Each stage builds its own model with the same seed, so both runs start from the same weights.
    range_test, seconds = _timed(lambda: _find_learning_rate(task, seed, progress))
    peak = range_test.learning_rate
    baseline = _train_baseline(task, seed, progress)
    cycle = _train_cycle(task, seed, progress, peak=peak, finding_seconds=seconds)
    steps_per_epoch = math.ceil(len(task.data[0][0]) / task.batch_size)
    return DemoResult(range_test, baseline, cycle, OneCycle(peak, CYCLE_EPOCHS * steps_per_epoch))


def _find_learning_rate(task: Task, seed: int, progress: ProgressFunction) -> RangeTest:
    from onecycle import find_learning_rate

    stage = "Finding the learning rate"
    progress(stage, 0.0)
    (x, y), _ = task.data
    result = find_learning_rate(
        task.build(seed), x, y, batch_size=task.batch_size, repeats=RANGE_TEST_REPEATS, seed=seed, verbose=0
    )
    progress(stage, 1.0)
    return result


def _train_baseline(task: Task, seed: int, progress: ProgressFunction) -> DemoRun:
    import keras

    (x, y), test = task.data
    model = task.build(seed, keras.optimizers.SGD(BASELINE_LEARNING_RATE))
    callback = _progress_callback("Baseline", BASELINE_EPOCHS, progress)
    history, seconds = _timed(
        lambda: model.fit(
            x, y, epochs=BASELINE_EPOCHS, batch_size=task.batch_size, validation_data=test, callbacks=[callback],
            verbose=0,
        )
    )  # fmt: skip
    return DemoRun("plain SGD", BASELINE_LEARNING_RATE, tuple(history.history["val_accuracy"]), seconds)


def _train_cycle(task: Task, seed: int, progress: ProgressFunction, *, peak: float, finding_seconds: float) -> DemoRun:
    from onecycle import fit_one_cycle

    (x, y), test = task.data
    model = task.build(seed)
    callback = _progress_callback("1cycle", CYCLE_EPOCHS, progress)
    history, seconds = _timed(
        lambda: fit_one_cycle(
            model, x, y, epochs=CYCLE_EPOCHS, max_learning_rate=peak, batch_size=task.batch_size,
            validation_data=test, callbacks=[callback], verbose=0,
        )
    )  # fmt: skip
    return DemoRun("1cycle", peak, tuple(history.history["val_accuracy"]), finding_seconds + seconds)


def _timed(function: Callable[[], T]) -> tuple[T, float]:
    """Return the result of a function and its wall time in seconds."""
    started = time.perf_counter()
    return function(), time.perf_counter() - started


def _progress_callback(stage: str, epochs: int, progress: ProgressFunction) -> keras.callbacks.Callback:
    import keras

    return keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: progress(stage, 0.0),
        on_epoch_end=lambda epoch, logs: progress(stage, (epoch + 1) / epochs),
    )


def _run_with_progress_bars(terminal: Console, seed: int) -> DemoResult:
    """Run the demo with a progress bar for each stage."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:26}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal) as bars:
        stages: dict[str, TaskID] = {}

        def update(stage: str, fraction: float) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=None)
            # Without a total the bar pulses, because the range test does not report its progress.
            bars.update(stages[stage], total=1.0 if fraction else None, completed=fraction)

        return run_demo(seed, update)


def _run_table(result: DemoResult) -> RichTable:
    from rich.table import Table

    # Headings of two lines, so that the table fits 80 columns.
    table = Table("", title=f"Best test accuracy of the baseline: {result.target:.1%}", title_justify="left")
    for heading in ("peak\nrate", "epochs", "epochs to\nthat best", "final\naccuracy", "time incl.\nrange test"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in (result.baseline, result.cycle):
        epochs_to_target = run.epochs_to(result.target)
        table.add_row(
            run.name,
            f"{run.learning_rate:.3g}",
            str(len(run.accuracies)),
            "never" if epochs_to_target is None else str(epochs_to_target),
            f"{run.accuracies[-1]:.1%}",
            f"{run.seconds:.1f} s",
        )
    return table


def write_demo_files(result: DemoResult, folder: Path) -> list[Path]:
    """Write the plots and the range test to a folder, and return the paths of the files."""
    from onecycle.plot import plot_schedule, plot_training_curves, save_figure

    folder.mkdir(parents=True, exist_ok=True)
    runs = {run.name: run.accuracies for run in (result.baseline, result.cycle)}
    plots = {
        "range_test.png": result.range_test.plot(),
        "schedule.png": plot_schedule(result.schedule, result.schedule.momentum()),
        "training_curves.png": plot_training_curves(runs, "accuracy", target=result.target),
    }
    for name, axes in plots.items():
        save_figure(axes, folder / name)
    result.range_test.save(folder / "range_test.json")
    return [folder / name for name in (*plots, "range_test.json")]
