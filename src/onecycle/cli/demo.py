"""`onecycle demo`: five guessed learning rates for handwritten digits, beside the one that onecycle finds."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.demo_runs import EPOCHS, DemoResult, DemoRun, build_network, run_demo
from onecycle.cli.environment import Backend, check_output_folder, select_backend
from onecycle.cli.options import MAX_SEED, BackendChoice, Debug
from onecycle.keras_support.quiet_import import without_log_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable


def demo_command(
    output: Annotated[Path, typer.Option(file_okay=False, help="Folder for the plots and the report.")] = Path(
        "onecycle-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Random seed of all training runs.")] = 0,
    backend: BackendChoice = None,
    debug: Debug = False,
) -> None:
    """Train a small network on handwritten digits at five guessed learning rates and at the one that onecycle finds."""
    with console.exit_codes(debug=debug):
        check_output_folder(output, "--output")
        from rich.console import Console

        terminal = Console()
        terminal.print("Which learning rate? Handwritten digits, a small network, five guesses and one range test.")
        # The threads of PyTorch would only wait for one another with a network of this size.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with without_log_lines():
            select_backend(backend, default=Backend.tensorflow)
            build_network(seed)  # the first network takes seconds, since libraries load what they need
        result = _run_with_status(terminal, seed)
        terminal.print(_table(result))
        for line in _conclusions(result):
            # Plain text: rich would read brackets in it as markup.
            terminal.print(line, highlight=False, markup=False, soft_wrap=True)
        for path in write_demo_files(result, output):
            terminal.print(f"Wrote {path}", highlight=False, markup=False, soft_wrap=True)
        console.print_next(f"open {output / 'report.html'}, or try your own model with onecycle find")


def _run_with_status(terminal: Console, seed: int) -> DemoResult:
    """Run the demo, and show its stage on a terminal, or print it elsewhere."""
    if not terminal.is_terminal:
        return run_demo(seed, lambda stage: terminal.print(stage, highlight=False))
    with terminal.status("Starting") as status:
        return run_demo(seed, status.update)


def _table(result: DemoResult) -> RichTable:
    from rich.table import Table

    table = Table("learning rate", title=f"{EPOCHS} epochs each, SGD with momentum", title_justify="left")
    # Headings of two lines, so that the table fits 80 columns.
    table.add_column("final test\naccuracy", justify="right", no_wrap=True)
    table.add_column(f"epochs to {result.target:.1%},\nthe best of any guess", justify="right", no_wrap=True)
    for guess in result.guesses:
        table.add_row(f"guess {guess.learning_rate:g}", *_cells(guess, result.target))
    table.add_row(_cycle_name(result), *_cells(result.cycle, result.target))
    return table


def _cells(run: DemoRun, target: float) -> tuple[str, str]:
    final, epochs = run.accuracies[-1], run.epochs_to(target)
    return "diverged" if math.isnan(final) else f"{final:.1%}", "never" if epochs is None else str(epochs)


def _percent(accuracy: float) -> str:
    return "diverged" if math.isnan(accuracy) else f"{100 * accuracy:.0f} %"


def _cycle_name(result: DemoResult) -> str:
    return f"found {result.cycle.learning_rate:.2g}, one cycle"


def _conclusions(result: DemoResult) -> list[str]:
    guesses = ", ".join(_percent(guess.accuracies[-1]) for guess in result.guesses)
    seconds = (result.finding_seconds, result.cycle_seconds, result.guessing_seconds)
    return [
        f"{len(result.guesses)} guesses: {guesses}. No guess: {_percent(result.cycle.accuracies[-1])}.",
        f"Why {result.cycle.learning_rate:.2g}: {result.range_test.suggestion.reason}",
        "The range test took {:.1f} s, training with it {:.1f} s, and all guesses {:.1f} s.".format(*seconds),
        _CAVEAT,
        "",
    ]


_CAVEAT = (
    "These are single runs with 360 test images, in which a percentage point is 4 images. onecycle compare tells over "
    "several seeds which way of training is better."
)


def write_demo_files(result: DemoResult, folder: Path) -> list[Path]:
    """Write the plots, the report and the range test to a folder, and return the paths of the files."""
    from onecycle.plot import plot_training_curves, save_figure
    from onecycle.report import write_report

    folder.mkdir(parents=True, exist_ok=True)
    curves = {f"guess {guess.learning_rate:g}": guess.accuracies for guess in result.guesses}
    curves[_cycle_name(result)] = result.cycle.accuracies
    plots = {
        "range_test.png": result.range_test.plot(show=False),
        "training_curves.png": plot_training_curves(curves, "accuracy", target=result.target),
    }
    for name, axes in plots.items():
        save_figure(axes, folder / name)
    write_report([result.report], folder / "report.html")
    result.range_test.save(folder / "range_test.json")
    return [folder / name for name in (*plots, "report.html", "range_test.json")]
