"""`onecycle reproduce`: the experiments of the article on their data."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from onecycle.cli import console
from onecycle.cli.environment import (
    Backend,
    check_output_files,
    check_output_folder,
    name_missing_packages,
    select_backend,
)
from onecycle.cli.options import AsJson, BackendChoice, Debug, Jobs, ResultFile
from onecycle.keras_support.quiet_import import import_keras


class ArticleTask(StrEnum):
    """The data sets of the article."""

    boston_housing = "boston-housing"
    fashion_mnist = "fashion-mnist"
    cifar10 = "cifar10"


def reproduce_command(
    task: Annotated[ArticleTask, typer.Argument(help="Data set of the experiment.")],
    seeds: Annotated[int | None, typer.Option(min=1, help="Number of seeds per arm. Default: the protocol's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs. Default: the protocol's.")] = None,
    directory: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for the runs. Runs that are already there are reused.")
    ] = Path("onecycle-article"),
    data_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder with TASK.npz. Default: ONECYCLE_DATA, or else a download."),
    ] = None,
    jobs: Jobs = 1,
    backend: BackendChoice = None,
    save: ResultFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Repeat an experiment of the article on its data.

    This takes hours for fashion-mnist and cifar10. `--save` saves the comparison of the main arms.

    Example: `onecycle reproduce boston-housing --seeds 3 --epochs 20`
    """
    with console.exit_codes(debug=debug, run_directory=directory):
        check_output_files(save=save, plot=None)
        check_output_folder(directory, "--directory")
        if data_dir is not None:
            if not data_dir.is_dir():
                raise console.UsageError(f"Option --data-dir must be a folder. There is no folder {data_dir}.")
            # As an environment variable, because worker processes load the data too.
            os.environ["ONECYCLE_DATA"] = str(data_dir.resolve())
        with console.reserve_stdout(as_json=as_json):
            select_backend(backend, default=Backend.tensorflow)
            import_keras(seeded=True)
            with name_missing_packages():
                from onecycle.comparison.article.reproduction import reproduce

                result = reproduce(
                    task.value, directory=directory, seeds=seeds, epochs=epochs, jobs=jobs,
                    verbose=console.keras_verbosity(as_json=as_json),
                )  # fmt: skip
            # The runs of the grid and of the side arms stay in the folder.
            if save is not None:
                result.main.save(save)
        console.print_result(result.summary(), result.facts(), as_json=as_json)
        report = f"`onecycle report {save or 'comparison.json'}` for a page with every run"
        again = "" if save else ", after the same command with `--save comparison.json`, which reuses the runs"
        console.print_next(report + again, as_json=as_json)
