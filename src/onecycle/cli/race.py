"""`onecycle race`: whole cycles of the user's model at several peaks, of which the best is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.environment import name_missing_packages
from onecycle.cli.fit_outcome import step_after_training
from onecycle.cli.options import (
    AsJson,
    BackendChoice,
    BatchSize,
    Cluster,
    Debug,
    Jobs,
    PlotFile,
    ResultFile,
    Seed,
    UserFunction,
)
from onecycle.cli.result_run import ResultRun

if TYPE_CHECKING:
    from onecycle.results import Race


def race_command(
    function: UserFunction,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs, which is the length of the cycle.")] = 10,
    candidates: Annotated[int, typer.Option(min=2, max=8, help="Number of peaks to begin with.")] = 3,
    monitor: Annotated[str, typer.Option(help="Metric by which they are judged.")] = "val_loss",
    mode: Annotated[str, typer.Option(help="Which values are better: max (higher), min (lower) or auto.")] = "auto",
    batch_size: BatchSize = None,
    seed: Seed = None,
    jobs: Jobs = 1,
    cluster: Cluster = None,
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
    ones are dropped on the way, so that a race of three costs at most 2.3 training runs (more in fewer than 300 steps).

    Example: `onecycle race train.py:make --epochs 20 --model trained.keras`
    """
    run = ResultRun(function, batch_size, seed, backend, save, plot, as_json, model)
    with console.exit_codes(debug=debug):
        check_race_options(mode=mode, jobs=jobs, cluster=cluster)
        with name_missing_packages():
            result: Race = run.result_of(
                "race_learning_rates", validated=True, epochs=epochs, candidates=candidates, monitor=monitor, mode=mode,
                jobs=jobs, cluster=cluster, seed=seed, verbose=run.verbose,
            )  # fmt: skip
        console.print_result(result.summary(), race_facts(result), as_json=as_json, table=race_table(result))
        console.print_next(step_after_training(save, model), as_json=as_json)


def check_race_options(*, mode: str, jobs: int, cluster: str | None) -> None:
    """Raise a `UsageError` for options that are not valid, before the user's code is imported."""
    from onecycle.results.metrics import check_mode
    from onecycle.workers.arguments import check_workers

    with console.options_named():
        check_mode(mode)
        check_workers(jobs, cluster)


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
