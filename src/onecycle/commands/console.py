"""What a command says and how it ends: exit code 0 done, 1 failed in work, 2 wrong use."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

import typer

FAILED = 1
WRONG_USE = 2


class WrongUse(Exception):
    """The command was called wrongly; its text is one sentence with the remedy."""


@contextmanager
def answering(*, debug: bool) -> Iterator[None]:
    """Turn an exception into one sentence on standard error and an exit code; with `debug` the traceback as well."""
    try:
        yield
    except typer.Exit:
        raise
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


def show(text: str, facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the outcome: the facts as JSON for programs, or the text for people."""
    typer.echo(json.dumps(facts, indent=2, allow_nan=False) if as_json else text)
