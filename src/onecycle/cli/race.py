"""`onecycle race`: whole cycles of the user's model at several peaks, of which the best is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.environment import check_output_files, select_backend, write_result
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.user_code import check_batch_size, check_function_name, load_model_and_data

if TYPE_CHECKING:
    from onecycle.results import Race


def race_command(
    function: UserFunction,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs, which is the length of the cycle.")] = 10,
    candidates: Annotated[int, typer.Option(min=2, max=8, help="Number of peaks to begin with.")] = 3,
    monitor: Annotated[str, typer.Option(help="Metric by which they are judged.")] = "val_loss",
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE.keras", dir_okay=False, help="Save the trained model.")
    ] = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train your model with several peaks, and keep the best one, trained.

    The candidates are judged on the validation data that your function returns, or on a fifth of the rows. The worse
    ones are dropped on the way, so that the whole race costs about 2.1 training runs.

    Example: `onecycle race train.py:make --epochs 20 --model trained.keras`
    """
    with console.exit_codes(debug=debug):
        check_output_files(save=save, plot=plot, model=model)
        check_function_name(function)
        with console.reserve_stdout(as_json=as_json):
            select_backend(backend)
            from onecycle import race_learning_rates

            user = load_model_and_data(function, seed)
            check_batch_size(user, batch_size)
            result = race_learning_rates(
                user.model, user.x, user.y, sample_weight=user.sample_weight, validation_data=user.validation_data,
                epochs=epochs, candidates=candidates, monitor=monitor, batch_size=batch_size, seed=seed,
                verbose=console.keras_verbosity(as_json=as_json),
            )  # fmt: skip
            if model is not None:
                user.model.save(model)
            write_result(result, save=save, plot=plot)
        console.print_result(result.summary(), race_facts(result), as_json=as_json, table=race_table(result))


def race_facts(result: Race) -> dict[str, object]:
    """Return the result without its candidates, which `--save` writes, as JSON values."""
    return {
        "learning_rate": result.learning_rate,
        "reason": result.reason,
        "note": result.note,
        "hints": list(result.hints),
        "at_end": result.at_end,
        "cost": result.cost,
        "total_steps": result.total_steps,
        "held_out": result.held_out,
        "candidates": len(result.learning_rates),
    }


def race_table(result: Race) -> list[dict[str, str]]:
    """Return a row for each candidate."""
    return [
        {
            "peak": f"{row['peak']} (won)" if row["best"] else row["peak"],
            **{k: row[k] for k in row if k not in ("best", "peak")},
        }
        for row in result.rows()
    ]
