"""`onecycle demo`: how the demo looks in a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from onecycle import demo


def show_demo(output: Path, seed: int) -> None:
    """Run the demo with progress bars, print the found rate and the table, and write the pictures."""
    console = Console()
    console.print("Handwritten digits, a small CNN: one rate found, then trained twice from the same start.")
    outcome = with_progress(console, seed)
    found = outcome.range_test.suggestion
    console.print(f"\nFound learning rate: [bold]{found.learning_rate:.3g}[/bold]", highlight=False)
    console.print(f"{found.reason}\n", highlight=False, markup=False)
    console.print(comparison(outcome))
    console.print("One pair of runs on 360 test pictures shows how it works; it does not prove which is better.\n")
    for path in demo.write(outcome, output):
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)


def with_progress(console: Console, seed: int) -> demo.Outcome:
    """Run the demo's work under one progress bar for each stage."""
    columns = (TextColumn("{task.description:26}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars: dict[str, TaskID] = {}

        def report(stage: str, done: float) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=None)
            # A bar without a total pulses: the range test does not say how far it is.
            progress.update(bars[stage], total=1.0 if done else None, completed=done)

        return demo.run_demo(seed, report)


def comparison(outcome: demo.Outcome) -> Table:
    """Return the table: the baseline against 1cycle."""
    table = Table("", title=f"The baseline's best test accuracy: {outcome.target:.1%}", title_justify="left")
    for heading in ("peak\nrate", "epochs", "epochs to\nthat best", "final\naccuracy", "time, finder\nincluded"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in (outcome.baseline, outcome.cycle):
        reached = run.epochs_to(outcome.target)
        table.add_row(
            run.name,
            f"{run.learning_rate:.3g}",
            str(len(run.accuracies)),
            "never" if reached is None else str(reached),
            f"{run.accuracies[-1]:.1%}",
            f"{run.seconds:.1f} s",
        )
    return table
