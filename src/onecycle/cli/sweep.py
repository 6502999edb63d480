"""`onecycle sweep`: short training runs of the user's model at several learning rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.result_run import ResultRun

if TYPE_CHECKING:
    from onecycle.results import Sweep


def sweep_command(
    function: UserFunction,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs of the training you plan.")],
    budget: Annotated[
        float | None,
        typer.Option(help="Training steps of the whole sweep, as a fraction of the planned ones.", show_default=False),
    ] = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find the peak of the cycle with short training runs at several learning rates.

    The runs are compared by their loss on held-out data. Your model is left unchanged. The exit code is 1 if the sweep
    picks no learning rate.

    Example: `onecycle sweep train.py:make --epochs 20 --plot sweep.png`
    """
    run = ResultRun(function, batch_size, seed, backend, save, plot, as_json)
    with console.exit_codes(debug=debug):
        if budget is not None:
            from onecycle.suggestions.arguments import check_number

            with console.options_named():
                check_number("budget", budget, above=0)
        result: Sweep = run.result_of(
            "sweep_learning_rates", epochs=epochs, budget=budget, seed=seed, verbose=run.verbose
        )
        console.print_result(result.summary(), sweep_facts(result), as_json=as_json, table=sweep_table(result))
        if result.pick.learning_rate is None:
            raise typer.Exit(console.EXIT_FAILURE)
        peak = save or f"{result.learning_rate:.3g}"
        step = f"`onecycle fit {function} --epochs {epochs} --max-learning-rate {peak}` trains with this peak"
        console.print_next(step, as_json=as_json)


def sweep_facts(result: Sweep) -> dict[str, object]:
    """Return the result without its runs, which `--save` writes, as JSON values."""
    return {
        "learning_rate": result.pick.learning_rate,
        "interval": None if result.interval is None else list(result.interval),
        "reason": result.pick.reason,
        "hints": list(result.hints),
        "at_end": result.at_end,
        "cost": result.cost,
        "total_steps": result.total_steps,
        "held_out": result.held_out,
        "runs": len(result.learning_rates),
    }


def sweep_table(result: Sweep) -> list[dict[str, str]]:
    """Return a row for each run."""
    return [
        {
            "peak": f"{row['rate']} (best)" if row["best"] else row["rate"],
            "steps": row["steps"],
            "held-out loss": row["loss"],
        }
        for row in result.rows()
    ]
