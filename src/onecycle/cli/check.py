"""`onecycle check`: a look at the user's model and data before training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.result_run import ResultRun

if TYPE_CHECKING:
    from onecycle.results import Findings


def check_command(
    function: UserFunction,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate that you plan. Default: that of the optimizer.")
    ] = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Look for faults of your model, your data and your settings before training.

    Your model is left unchanged. The exit code is 1 if something was found.

    Example: `onecycle check train.py:make`
    """
    run = ResultRun(function, batch_size, seed, backend, save, plot, as_json)
    with console.exit_codes(debug=debug):
        if learning_rate is not None:
            from onecycle.suggestions.arguments import check_learning_rate

            with console.options_named():
                check_learning_rate("learning_rate", learning_rate)
        result: Findings = run.result_of("check", learning_rate=learning_rate)
        console.print_result(result.summary(), findings_facts(result), as_json=as_json)
        if result:
            raise typer.Exit(console.EXIT_FAILURE)
        console.print_next(f"`onecycle fit {function} --epochs 10` trains with one cycle", as_json=as_json)


def findings_facts(result: Findings) -> dict[str, object]:
    """Return the findings and the outcome of each check as JSON values."""
    return {
        "findings": [
            {"name": finding.name, "description": finding.description, "remedy": finding.remedy} for finding in result
        ],
        "checks": dict(result.checks),
    }
