"""Tests that the commands in README.md and docs/ exist and take the arguments shown."""

import contextlib
import re

import pytest
import typer
from docs.pages import PAGES, ROOT, blocks, commands

from onecycle.cli import app, run

SHOWN = [(page, call) for page in PAGES for call in commands(page, "onecycle") if call]
CALLS = {" ".join(call): call for _, call in SHOWN}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_command_accepts_its_arguments(call):
    """The command line accepts every command of the pages with its arguments and options."""
    group = typer.main.get_command(app)
    name, *rest = call
    with contextlib.suppress(typer.Exit):  # raised by options such as --help
        if name.startswith("--"):
            group.make_context("onecycle", call)
        else:
            group.commands[name].make_context(name, rest)


def test_every_command_is_documented():
    """The page on the command line shows every command."""
    group = typer.main.get_command(app)
    shown = {call[0] for call in commands("command_line.md", "onecycle") if call}

    assert set(group.commands) <= shown


def test_preview_equals_that_of_the_page(capsys):
    """The preview on the page on the command line is what the command above it prints."""
    shown = next(block.text for block in blocks("command_line.md") if block.title == "preview")
    assert run(["preview", "one-cycle", "--max-learning-rate", "0.1", "--total-steps", "200"]) == 0

    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown.splitlines()


def test_make_targets_exist():
    """Every `make` target that a page names is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = {call[0] for page in PAGES for call in commands(page, "make") if call}

    assert shown <= targets
