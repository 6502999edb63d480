"""`onecycle compare` with a user's module."""

import json

import pytest

from onecycle.__main__ import main
from onecycle.results import load


def test_writes_requested_files(user_folder, tmp_path, capsys):
    """The command prints the verdict and the table, and writes the records, the result and the plot."""
    runs, saved, plot = tmp_path / "runs", tmp_path / "saved.json", tmp_path / "plot.png"
    files = ["--directory", str(runs), "--save", str(saved), "--plot", str(plot)]
    arguments = ["compare", "user_code:parts", "--seeds", "2", "--epochs", "1", "--margin", "0.01"]
    assert main([*arguments, *files]) == 0
    output = capsys.readouterr().out
    assert "cycle compared with plain: cannot tell yet (2 seeds are too few" in output
    assert "differences that do not matter: 0.01" in output
    assert len(list(runs.glob("*.json"))) == 4
    assert load(saved).arms == ("plain", "cycle")
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_json_is_whole_output(user_folder, capsys):
    """With --json, standard output is JSON alone, for any parser."""
    assert main(["compare", "user_code.py:parts", "--seeds", "1", "--epochs", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert (facts["baseline"], facts["metric"], facts["seeds"]) == ("plain", "val_accuracy", [0])
    assert facts["verdicts"]["cycle"]["final"]["verdict"] == "cannot tell"
    assert facts["verdicts"]["cycle"]["final"]["low"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["user_code:build"], 2, "must return (build, data, arms)"),
        (["user_code:nothing"], 2, "There is no function 'nothing'"),
        (["user_code"], 2, "MODULE:FUNCTION"),
        (["user_code:data"], 1, "user_code:data raised TypeError"),
        (["user_code:parts", "--margin", "-1"], 2, "`margin` must be > 0"),
        (["user_code:parts", "--mode", "up"], 2, "`mode` must be"),
        (["user_code:parts", "--jobs", "2", "--cluster", "ray"], 2, "either `jobs` or `cluster`"),
    ],
)
def test_invalid_use_is_one_line(arguments, code, message, user_folder, capsys):
    """The error is one line with the remedy, and the exit code distinguishes the command line from the user's code."""
    assert main(["compare", *arguments]) == code
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1
