"""`onecycle sweep`: short training runs of the user's model at several learning rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from onecycle.cli import console
from onecycle.cli.environment import check_output_files, select_backend, write_result
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.user_code import check_batch_size, check_function_name, load_model_and_data

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
    with console.exit_codes(debug=debug):
        if budget is not None:
            from onecycle.suggestions.arguments import check_number

            with console.options_named():
                check_number("budget", budget, above=0)
        check_output_files(save=save, plot=plot)
        check_function_name(function)
        with console.reserve_stdout(as_json=as_json):
            select_backend(backend)
            user = load_model_and_data(function, seed)
            from onecycle import sweep_learning_rates

            check_batch_size(user, batch_size)
            # The default is defined beside code that imports Keras, too late for the help text.
            budget_argument: dict[str, Any] = {} if budget is None else {"budget": budget}
            result = sweep_learning_rates(
                user.model, user.x, user.y, sample_weight=user.sample_weight, epochs=epochs, batch_size=batch_size,
                seed=seed, verbose=console.keras_verbosity(as_json=as_json), **budget_argument,
            )  # fmt: skip
            write_result(result, save=save, plot=plot)
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
