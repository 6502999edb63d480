"""`onecycle fine-tune`: one cycle on the head of the user's model, and then one on all of its layers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from onecycle.cli import console
from onecycle.cli.environment import check_backup_folder, check_can_be_saved, check_output_files, select_backend
from onecycle.cli.fit import conclude, delete_backups, read_peak, train_user_model
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.user_code import check_batch_size, check_function_name, load_model_and_data

PHASES = ("head", "all_layers")  # the folders of `fine_tune` in that of the backup


def fine_tune_command(
    function: UserFunction,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs with all layers.")] = 5,
    frozen_epochs: Annotated[int, typer.Option(min=0, help="Number of epochs before, with the head alone.")] = 1,
    head: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER", help="Name of a layer of the head; may be repeated. Default: the last layers."),
    ] = None,
    max_learning_rate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER|range-test|RESULT.json",
            help="Peak of both cycles, as for `fit`. Given twice: that of the head, and that of all layers. "
            "Default: range-test.",
        ),
    ] = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    backup_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Folder for a backup after each epoch. After an interruption, the same command continues the run. "
            "The folder is deleted when training has finished.",
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE.keras", dir_okay=False, help="Save the trained model.")
    ] = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Fine-tune your model: first its new head alone, then all layers.

    Your function returns a compiled model whose layers before the head are trained. Ctrl-C ends training at the end of
    a batch: the requested files are written, and the exit code is 130. The exit code is 1 if training diverged.

    Example: `onecycle fine-tune train.py:make --epochs 5 --model tuned.keras`
    """
    with console.exit_codes(debug=debug) as ctrl_c:
        peaks = _peaks(max_learning_rate or ["range-test"])
        check_output_files(save=save, plot=plot, model=model)
        if backup_dir is not None:
            check_backup_folder(backup_dir, phases=PHASES)
        check_function_name(function)
        with console.reserve_stdout(as_json=as_json):
            select_backend(backend)
            user = load_model_and_data(function, seed)
            check_batch_size(user, batch_size)
            if model is not None:
                check_can_be_saved(user.model)
            from onecycle import fine_tune

            outcome = train_user_model(
                user, ctrl_c, partial(fine_tune, epochs=epochs), epochs=frozen_epochs + epochs,
                frozen_epochs=frozen_epochs, head=head or None, max_learning_rate=peaks, batch_size=batch_size,
                seed=seed, backup_dir=backup_dir, quiet=as_json,
            )  # fmt: skip
            written = outcome.write(save=save, plot=plot, model=model)
            if backup_dir is not None and outcome.backup is None and written.error is None:
                for folder in (*(backup_dir / phase for phase in PHASES), backup_dir):
                    delete_backups(folder)
        conclude(outcome, ctrl_c, written, save=save, model=model, as_json=as_json)


def _peaks(texts: list[str]) -> tuple[object, object]:
    """Return the peak of each phase, or raise a `UsageError`."""
    if len(texts) > 2:
        raise console.UsageError(
            f"Option --max-learning-rate is for two phases. Received: it {len(texts)} times: {', '.join(texts)}"
        )
    if "race" in texts:
        raise console.UsageError(
            "On the command line, `fine-tune` takes no race. Pass numbers, range-test or files, or call "
            '`onecycle.fine_tune(..., max_learning_rate="race")` in Python. Received: --max-learning-rate race'
        )
    return read_peak(texts[0]), read_peak(texts[-1])
