"""What every command prints, and its exit code: 0 for success, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C."""

from __future__ import annotations

import json
import math
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from onecycle.cli.ctrl_c import CtrlC
from onecycle.cli.error_text import cause, describe_error

if TYPE_CHECKING:
    from rich.table import Table as RichTable

EXIT_FAILURE = 1
EXIT_USAGE_ERROR = 2
EXIT_INTERRUPTED = 130  # as in shells: 128 and the number of the signal


class UsageError(Exception):
    """Wrong usage of a command. The message is one sentence, with a remedy if there is one."""


# What was printed in the running command.
shown_warnings: list[str] = []


@contextmanager
def exit_codes(*, debug: bool, run_directory: Path | None = None) -> Iterator[CtrlC]:
    """Print an exception as one line on standard error, and exit with the code for it.

    The context is the handler of Ctrl-C.

    Args:
        debug: Whether to print the traceback as well.
        run_directory: Folder with the finished runs, which the message after Ctrl-C names. None for commands that
            save no runs.

    Raises:
        typer.Exit: With code 2 for a `UsageError`, 130 for Ctrl-C, and 1 for any other exception or `sys.exit`.
    """
    ctrl_c = CtrlC()
    try:
        with ctrl_c, short_warnings():
            yield ctrl_c
    except typer.Exit:
        # It has its exit code already.
        raise
    except KeyboardInterrupt as interrupt:
        typer.echo(_interruption(run_directory, training=ctrl_c.deferred), err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    except SystemExit as end:
        # In the user's code, as in a data set or a callback: without this it would look like success.
        code = "" if end.code is None else repr(end.code)
        typer.echo(f"Error: The code that was called ended the process with sys.exit({code}).", err=True)
        raise typer.Exit(EXIT_FAILURE) from end
    except Exception as error:
        if debug:
            traceback.print_exc()
        text = " ".join(str(error).split()) if isinstance(error, UsageError) else describe_error(error)
        typer.echo(f"Error: {text}", err=True)
        raise typer.Exit(EXIT_USAGE_ERROR if isinstance(error, UsageError) else EXIT_FAILURE) from error


@contextmanager
def short_warnings() -> Iterator[None]:
    """Print warnings for the user as one line, without the place in the code."""
    before = warnings.formatwarning
    shown_warnings.clear()

    def short(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> str:
        if not issubclass(category, UserWarning):
            return before(message, category, *args, **kwargs)
        shown_warnings.append(str(message))
        return f"Warning: {message}\n"

    warnings.formatwarning = short
    try:
        with warnings.catch_warnings():
            # Keras warns of its own default for every data set.
            warnings.filterwarnings("ignore", message="`shuffle=True` was passed", category=UserWarning)
            yield
    finally:
        warnings.formatwarning = before


def _interruption(run_directory: Path | None, *, training: bool) -> str:
    if training:
        return "Interrupted at once. Some of the requested files may be missing."
    if run_directory is None:
        return "Interrupted. Nothing was saved."
    return f"Interrupted. The finished runs are in {run_directory}. Run the same command again to continue."


@contextmanager
def value_errors_as_usage_errors() -> Iterator[None]:
    """Raise a `UsageError` for a `TypeError` or `ValueError`. For code that only checks values of options."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UsageError(cause(error)) from error


@contextmanager
def options_named(kind: type[ValueError] = ValueError) -> Iterator[None]:
    """Raise a `UsageError` that names the option for an error of this kind that names an argument."""
    try:
        yield
    except kind as error:
        message = re.sub(r"Argument `(\w+)`", lambda match: f"Option {option_name(match[1])}", str(error))
        message = re.sub(r"\b(\w+)=", lambda match: f"{option_name(match[1])} ", message)
        raise UsageError(message) from error


def option_name(argument: str) -> str:
    """Return the option for an argument."""
    return f"--{argument.replace('_', '-')}"


def reserve_stdout(*, as_json: bool) -> redirect_stdout[TextIO] | nullcontext[None]:
    """Return a context that sends all output to standard error with `--json`, so that standard output is JSON only."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def keras_verbosity(*, as_json: bool, lines: bool = False) -> int:
    """Return the `verbose` argument for Keras: a progress bar on a terminal, and little or nothing elsewhere.

    Args:
        as_json: Whether `--json` was given, which means no progress output at all.
        lines: Whether to print the lines of `verbose=2` if standard output is not a terminal.

    Returns:
        1 for a progress bar, 2 for plain lines, 0 for no output.
    """
    if as_json:
        return 0
    return 1 if sys.stdout.isatty() else 2 if lines else 0


def print_result(
    summary: str,
    facts: Mapping[str, object],
    *,
    as_json: bool,
    table: Sequence[Mapping[str, str]] | None = None,
) -> None:
    """Print a result: `facts` as JSON with `--json`, else the summary, with its table drawn on a terminal.

    Args:
        summary: The result as plain text, including the table if there is one.
        facts: The result as JSON values.
        as_json: Whether to print `facts`.
        table: Rows of the table in `summary`, column name -> cell. None if there is no table.
    """
    if as_json:
        # Python would write NaN, which is not JSON, so it must not be in the facts.
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
    elif table is None or not sys.stdout.isatty():
        typer.echo(summary)
    else:
        from rich.console import Console

        console = Console()
        # Without markup and highlighting, because the summary is plain text.
        console.print(_without_table(summary), markup=False, highlight=False, soft_wrap=True)
        console.print(_rich_table(table))


def print_next(step: str, *, as_json: bool = False) -> None:
    """Print what to do next, unless standard output is for JSON."""
    if not as_json:
        typer.echo(f"\nNext: {step}.")


def _without_table(summary: str) -> str:
    """Return the summary without the lines of its table, which start with `|`, `* ` or two spaces."""
    return "\n".join(line for line in summary.splitlines() if not line.startswith(("|", "* ", "  "))).rstrip()


def _rich_table(rows: Sequence[Mapping[str, str]]) -> RichTable:
    from rich.table import Table
    from rich.text import Text

    table = Table(*rows[0])
    for row in rows:
        # As Text, because rich reads brackets in a plain string as markup.
        table.add_row(*(Text(cell) for cell in row.values()))
    return table


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None for NaN and infinities, which JSON does not have."""
    return float(value) if math.isfinite(value) else None
