"""What a command says and how it ends: exit code 0 done, 1 failed in work, 2 wrong use."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import typer

FAILED = 1
WRONG_USE = 2


class WrongUse(Exception):
    """The command was called wrongly; its text is one sentence with the remedy."""


class Interrupted(Exception):
    """The person ended the command early; its text says what was kept, and where."""


@contextmanager
def answering(*, debug: bool, kept_in: Path | None = None) -> Iterator[None]:
    """Turn an exception into one sentence on standard error and an exit code; with `debug` the traceback as well.

    Args:
        debug: Whether the traceback is shown.
        kept_in: The folder in which finished runs are kept, for the sentence after Ctrl-C.
    """
    try:
        yield
    except typer.Exit:
        raise
    except Interrupted as stop:
        typer.echo(str(stop), err=True)
        raise typer.Exit(FAILED) from stop
    except KeyboardInterrupt as stop:
        where = "Nothing was kept." if kept_in is None else f"The finished runs are kept in {kept_in}"
        again = "" if kept_in is None else ": the same command goes on from there."
        typer.echo(f"Interrupted. {where}{again}", err=True)
        raise typer.Exit(FAILED) from stop
    except Exception as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"Error: {sentence(error)}", err=True)
        raise typer.Exit(WRONG_USE if isinstance(error, WrongUse) else FAILED) from error


def sentence(error: Exception) -> str:
    """Return the exception as one line. Errors that onecycle raises are sentences already; others need their name."""
    lines = str(error).strip().splitlines() or ["no message"]
    if isinstance(error, WrongUse | ValueError | OSError | ImportError):
        return lines[0]
    return f"{type(error).__name__}: {lines[0]} (`--debug` shows where)"


def quiet(*, as_json: bool) -> redirect_stdout[Any] | nullcontext[None]:
    """While working: with `--json`, whatever is printed goes to standard error; standard output is for JSON alone."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


@contextmanager
def bad_options() -> Iterator[None]:
    """Count what is wrong with a value as wrong use: everything within was given as an option."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise WrongUse(sentence(error)) from error


def bars(*, as_json: bool, else_lines: bool = False) -> int:
    """What `verbose` Keras gets: bars on a terminal; elsewhere nothing, or one plain line an epoch."""
    if as_json:
        return 0
    return 1 if sys.stdout.isatty() else 2 if else_lines else 0


def kept(written: Sequence[Path]) -> str:
    """Where what was finished is, in a sentence."""
    return f"Kept: {', '.join(map(str, written))}." if written else "Nothing was kept: --save or --model would have."


def show(
    text: str, facts: Mapping[str, Any], *, as_json: bool, table: Sequence[Mapping[str, str]] | None = None
) -> None:
    """Print the outcome: the facts as JSON for programs, or for people the text, on a terminal with its table drawn.

    Args:
        text: The outcome for people, its table included where there is one, in plain characters.
        facts: The outcome for programs.
        as_json: Which of the two.
        table: The rows that `text` has as lines beginning with a mark, for a terminal.
    """
    if as_json or table is None or not sys.stdout.isatty():
        typer.echo(json.dumps(facts, indent=2, allow_nan=False) if as_json else text)
        return
    from rich.console import Console

    console = Console()
    console.print(text_alone(text), markup=False, highlight=False, soft_wrap=True)
    console.print(drawn(table))


def text_alone(text: str) -> str:
    """The text without the lines of its table, which begin with | or with the mark of a chosen rule."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(("|", "* ", "  "))).rstrip()


def drawn(rows: Sequence[Mapping[str, str]]) -> Any:
    """Return the rows as a table of rich's."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row.values()))
    return table
