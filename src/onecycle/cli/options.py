"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onecycle.commands.setting import Backend

SubjectName = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION",
        help="Your function, as MODULE:FUNCTION or FILE.py:FUNCTION. It returns (model, x, y) or (model, dataset).",
    ),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Examples in a batch; Keras' 32 where nothing is said.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Makes the result repeat exactly.")]
BackendChoice = Annotated[Backend | None, typer.Option(help="Keras' backend; KERAS_BACKEND where nothing is said.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes on this machine.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE.png", dir_okay=False, help="Draw the result into this file.")]
Save = Annotated[Path | None, typer.Option(metavar="RESULT.json", dir_okay=False, help="Write the result here.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
