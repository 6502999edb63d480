"""The command line, `onecycle`: reads the options and calls what does the work. Keras is imported in the handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

import onecycle
from onecycle.cli import showing, studying, training

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # An unforeseen error is answered by `console.answering`, in one sentence.
    pretty_exceptions_enable=False,
)

# In the order of the help.
for command in (
    *(showing.demo, training.find, training.sweep, training.fit, studying.compare),
    *(studying.reproduce, showing.preview, showing.report),
):
    app.command()(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with these arguments, or the process' own, and return the exit code."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="onecycle")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def print_version(asked: bool) -> None:
    """Print the version and stop, if it was asked for."""
    if asked:
        typer.echo(onecycle.__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Find a learning rate, train with 1cycle, and see whether it helped; on Keras 3."""
