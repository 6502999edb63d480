"""`onecycle batch-size`: a batch size for the user's model and data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.result_run import ResultRun

if TYPE_CHECKING:
    from onecycle.results import BatchSizeAdvice


def batch_size_command(
    function: UserFunction,
    training_steps: Annotated[
        int, typer.Option(min=0, help="Steps of training, in whose last third the measurement is made.")
    ] = 300,
    micro_batches: Annotated[int, typer.Option(min=8, help="Number of batches whose gradients are compared.")] = 64,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find the batch size with which your model should reach a target fastest.

    Your model is left unchanged. The exit code is 1 if the measurement cannot tell.

    Example: `onecycle batch-size train.py:make --plot sizes.png`
    """
    run = ResultRun(function, batch_size, seed, backend, save, plot, as_json)
    with console.exit_codes(debug=debug):
        result: BatchSizeAdvice = run.result_of(
            "advise_batch_size", training_steps=training_steps, micro_batches=micro_batches, seed=seed,
            verbose=run.verbose,
        )  # fmt: skip
        console.print_result(result.summary(), batch_size_facts(result), as_json=as_json)
        if result.batch_size is None:
            raise typer.Exit(console.EXIT_FAILURE)
        step = (
            f"`onecycle find {function} --batch-size {result.batch_size}` finds the learning rate for this batch size"
        )
        console.print_next(step, as_json=as_json)


def batch_size_facts(result: BatchSizeAdvice) -> dict[str, object]:
    """Return the advice and its evidence as JSON values."""
    return {
        "batch_size": result.batch_size,
        "fewest_samples": result.fewest_samples,
        "reason": result.reason,
        "noise_scale": console.finite_or_none(result.noise_scale),
        "interval": [console.finite_or_none(end) for end in result.interval],
        "scaling": result.scaling,
        "batch_sizes": result.batch_sizes.tolist(),
        "step_seconds": result.step_seconds.tolist(),
        "rate_factors": result.rate_factors.tolist(),
    }
