"""`onecycle demo`, `onecycle preview`, `onecycle report`: something to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onecycle.cli.options import AsJson, BackendChoice, Debug, Plot
from onecycle.commands import console
from onecycle.commands.preview import Name
from onecycle.commands.setting import Backend, check_writable, use_backend, use_files_only


def demo(
    output: Annotated[Path, typer.Option(file_okay=False, help="Folder for the pictures.")] = Path("onecycle-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of both trainings.")] = 0,
    backend: BackendChoice = None,
    debug: Debug = False,
) -> None:
    """Show it working: find a rate on handwritten digits, train a baseline and a 1cycle run."""
    with console.answering(debug=debug):
        use_backend(backend, default=Backend.tensorflow)
        use_files_only()
        from onecycle.commands.demo import show_demo

        show_demo(output, seed)


def preview(
    schedule: Annotated[Name, typer.Argument(help="Which schedule.")] = Name.one_cycle,
    max_learning_rate: Annotated[float, typer.Option(help="The peak.")] = 0.1,
    total_steps: Annotated[int, typer.Option(min=1, help="Steps: epochs times batches an epoch.")] = 1000,
    warmup_fraction: Annotated[float | None, typer.Option(help="Share of the steps that rise, 0 to 1.")] = None,
    final_fraction: Annotated[float | None, typer.Option(help="Share of the steps of the final drop, 0 to 1.")] = None,
    initial_divisor: Annotated[float | None, typer.Option(help="The peak over the first rate.")] = None,
    final_divisor: Annotated[float | None, typer.Option(help="The first rate over the last.")] = None,
    shape: Annotated[str | None, typer.Option(help="linear, cosine, 1-sqrt or exponential.")] = None,
    high_momentum: Annotated[float, typer.Option(help="Momentum where the rate is low.")] = 0.95,
    low_momentum: Annotated[float, typer.Option(help="Momentum at the peak.")] = 0.85,
    plot: Plot = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Draw a schedule, in the terminal and as a picture, before any training.

    Example: `onecycle preview one-cycle --max-learning-rate 0.1 --total-steps 2000 --plot cycle.png`
    """
    with console.answering(debug=debug):
        check_writable(save=None, plot=plot)
        use_files_only()
        from onecycle.commands.preview import make, preview

        with console.quiet(as_json=as_json), console.bad_options():
            curve = make(
                schedule, max_learning_rate, total_steps, warmup_fraction=warmup_fraction,
                final_fraction=final_fraction, initial_divisor=initial_divisor, final_divisor=final_divisor,
                shape=shape,
            )  # fmt: skip
            found = preview(curve, total_steps, momentum=(high_momentum, low_momentum), plot=plot)
        console.show(found.text(), found.facts(), as_json=as_json)


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Saved results, as --save writes them.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", dir_okay=False, help="Write the report here.")
    ] = Path("report.html"),
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make one HTML file of saved results: pictures, tables, verdicts; no model or network is needed.

    Example: `onecycle report found.json comparison.json -o report.html`
    """
    with console.answering(debug=debug):
        from onecycle.commands.report import facts, report

        found = facts(report(results, output), output)
        console.show(f"Wrote {output}, {found['bytes'] / 1e6:.1f} MB: open it in a browser.", found, as_json=as_json)
