"""The command line `onecycle`: one module for each command. Keras is imported only when a command runs."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

import onecycle
from onecycle.cli.batch_size import batch_size_command
from onecycle.cli.check import check_command
from onecycle.cli.compare import compare_command
from onecycle.cli.demo import demo_command
from onecycle.cli.environment import use_noninteractive_plots
from onecycle.cli.find import find_command
from onecycle.cli.fine_tune import fine_tune_command
from onecycle.cli.fit import fit_command
from onecycle.cli.preview import preview_command
from onecycle.cli.race import race_command
from onecycle.cli.report import report_command
from onecycle.cli.reproduce import reproduce_command

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # `console.exit_codes` prints errors as one line instead.
    pretty_exceptions_enable=False,
)

# `onecycle --help` lists the commands in this order.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo_command,
    "check": check_command,
    "find": find_command,
    "race": race_command,
    "fit": fit_command,
    "fine-tune": fine_tune_command,
    "batch-size": batch_size_command,
    "compare": compare_command,
    "reproduce": reproduce_command,
    "preview": preview_command,
    "report": report_command,
}
for _name, _function in COMMANDS.items():
    app.command(_name)(_function)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with `arguments`, or with `sys.argv[1:]` if None, and return the exit code."""
    code = 0
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal does not have must not cost a result.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="onecycle")
    except SystemExit as end:
        # A process that exits with a message instead of a number has failed.
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if "tensorflow" in sys.modules:
        # An interrupted `fit` leaves its data iterator in a reference cycle, and Python would wait for the iterator's
        # thread when it exits, which by then can no longer run.
        gc.collect()
    return code


def print_version(requested: bool) -> None:
    """Print the version and exit if `--version` was given."""
    if requested:
        typer.echo(onecycle.__version__)
        raise typer.Exit


@app.callback()
def prepare_command(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find a learning rate, train with 1cycle and compare the results, in Keras 3."""
    use_noninteractive_plots()
