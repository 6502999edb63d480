"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onecycle.cli.environment import Backend

MAX_SEED = 2**32 - 1  # the largest that NumPy takes

UserFunction = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION",
        help="Your function, as MODULE:FUNCTION or FILE.py:FUNCTION. It returns (model, x, y), "
        "(model, dataset) or (model, train, validation).",
    ),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Batch size for arrays. Default: 32, as in Keras.")]
Seed = Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="Random seed, for a reproducible result.")]
BackendChoice = Annotated[Backend | None, typer.Option(help="Keras backend. Default: the variable KERAS_BACKEND.")]
Jobs = Annotated[int, typer.Option(min=1, help="Number of worker processes on this machine.")]
Cluster = Annotated[str | None, typer.Option(help="dask://HOST:PORT, ray or ray://HOST:PORT.")]
PlotFile = Annotated[
    Path | None, typer.Option(metavar="FILE.png", dir_okay=False, help="Save a plot as .png, .svg or .pdf.")
]
ResultFile = Annotated[Path | None, typer.Option(metavar="RESULT.json", dir_okay=False, help="Save the result.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON to standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]
