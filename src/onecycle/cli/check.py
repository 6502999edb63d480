"""`onecycle check`: a look at the user's model and data before training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.environment import check_output_files, select_backend, write_result
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.user_code import check_batch_size, check_function_name, load_model_and_data

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
    with console.exit_codes(debug=debug):
        if learning_rate is not None:
            from onecycle.suggestions.arguments import check_learning_rate

            with console.options_named():
                check_learning_rate("learning_rate", learning_rate)
        check_output_files(save=save, plot=plot)
        check_function_name(function)
        with console.reserve_stdout(as_json=as_json):
            select_backend(backend)
            user = load_model_and_data(function, seed)
            from onecycle import check

            check_batch_size(user, batch_size)
            result = check(
                user.model, user.x, user.y, sample_weight=user.sample_weight, batch_size=batch_size,
                learning_rate=learning_rate,
            )  # fmt: skip
            write_result(result, save=save, plot=plot)
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
