"""`onecycle compare` on a person's own module."""

import json

import pytest

from onecycle.__main__ import main
from onecycle.results import load


def test_it_compares_and_writes_what_was_asked_for(person, tmp_path, capsys):
    """Prints the verdict and the table, and writes records, result and picture."""
    runs, saved, picture = tmp_path / "runs", tmp_path / "saved.json", tmp_path / "picture.png"
    files = ["--directory", str(runs), "--save", str(saved), "--plot", str(picture)]
    arguments = ["compare", "person:all_of_it", "--seeds", "2", "--epochs", "1", "--margin", "0.01"]
    assert main([*arguments, *files]) == 0
    said = capsys.readouterr().out
    assert "cycle against plain: cannot tell yet (2 seeds never can" in said
    assert "differences that do not matter: 0.01" in said
    assert len(list(runs.glob("*.json"))) == 4
    assert load(saved).arms == ("plain", "cycle")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json_is_all_there_is(person, capsys):
    """With --json standard output is JSON alone, for any parser."""
    assert main(["compare", "person.py:all_of_it", "--seeds", "1", "--epochs", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert (facts["baseline"], facts["metric"], facts["seeds"]) == ("plain", "val_accuracy", [0])
    assert facts["verdicts"]["cycle"]["final"]["verdict"] == "cannot tell"
    assert facts["verdicts"]["cycle"]["final"]["low"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["person:build"], 2, "must return (build, data, arms)"),
        (["person:nothing"], 2, "There is no function 'nothing'"),
        (["person"], 2, "MODULE:FUNCTION"),
        (["person:data"], 1, "person:data raised TypeError"),
        (["person:all_of_it", "--margin", "-1"], 2, "`margin` must be > 0"),
        (["person:all_of_it", "--mode", "up"], 2, "`mode` must be"),
        (["person:all_of_it", "--jobs", "2", "--cluster", "ray"], 2, "either `jobs` or `cluster`"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, code, message, person, capsys):
    """The error is one line with the remedy, and the exit code says whose mistake it was."""
    assert main(["compare", *arguments]) == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
