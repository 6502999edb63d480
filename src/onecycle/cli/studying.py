"""`onecycle compare` and `onecycle reproduce`: several ways to train, run by run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onecycle.cli.options import AsJson, BackendChoice, Debug, Jobs, Plot, Save
from onecycle.commands import console
from onecycle.commands.reproduce import Task
from onecycle.commands.setting import Backend, check_writable, use_backend, use_files_only


def compare(
    parts: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="Your function, as MODULE:FUNCTION or FILE.py:FUNCTION. It returns (build, data, arms).",
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each arm; below 6 nothing can be told.")] = 10,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each run.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples in a batch.")] = 32,
    metric: Annotated[str | None, typer.Option(help="What to compare, such as val_accuracy.")] = None,
    mode: Annotated[str, typer.Option(help="Whether a higher metric is better: auto, max or min.")] = "auto",
    target: Annotated[float | None, typer.Option(help="Count the steps to this; else to the baseline's best.")] = None,
    margin: Annotated[float | None, typer.Option(help="Difference of the metric that does not matter.")] = None,
    directory: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of the records; started again, only the rest is run.")
    ] = None,
    jobs: Jobs = 1,
    cluster: Annotated[str | None, typer.Option(help="dask://HOST:PORT, ray or ray://HOST:PORT.")] = None,
    backend: BackendChoice = None,
    save: Save = None,
    plot: Plot = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare ways to train your model: same starts, several seeds, honest statistics.

    Example: `onecycle compare train.py:arms --seeds 10 --directory runs --save comparison.json`
    """
    with console.answering(debug=debug, kept_in=directory):
        check_writable(save=save, plot=plot)
        with console.quiet(as_json=as_json):
            use_backend(backend)
            use_files_only()
            from onecycle.commands.compare import compare, facts, load_parts, table

            result = compare(
                load_parts(parts), save=save, plot=plot, seeds=seeds, epochs=epochs, batch_size=batch_size,
                metric=metric, mode=mode, target=target, margin=margin, directory=directory, jobs=jobs,
                cluster=cluster, verbose=console.bars(as_json=as_json),
            )  # fmt: skip
        console.show(result.summary(), facts(result), as_json=as_json, table=table(result))


def reproduce(
    task: Annotated[Task, typer.Argument(help="The data set.")],
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of each arm, in place of the protocol's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs, in place of the protocol's.")] = None,
    directory: Annotated[
        Path, typer.Option(file_okay=False, help="Folder of the records; started again, only the rest is run.")
    ] = Path("onecycle-article"),
    data_dir: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder with TASK.npz, else ONECYCLE_DATA, else a download.")
    ] = None,
    jobs: Jobs = 1,
    backend: BackendChoice = None,
    save: Save = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run the article's experiment on its own data: hours for fashion-mnist and cifar10. `--save` keeps the comparison.

    Example: `onecycle reproduce boston-housing --seeds 3 --epochs 20`
    """
    with console.answering(debug=debug, kept_in=directory):
        check_writable(save=save, plot=None)
        with console.quiet(as_json=as_json):
            use_backend(backend, default=Backend.tensorflow)
            use_files_only()
            from onecycle.commands.reproduce import reproduce

            found = reproduce(
                task, directory=directory, data_dir=data_dir, seeds=seeds, epochs=epochs, jobs=jobs,
                save=save, verbose=console.bars(as_json=as_json),
            )  # fmt: skip
        console.show(found.summary(), found.facts(), as_json=as_json)
