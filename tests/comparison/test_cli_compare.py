"""`onecycle compare` with a user's module."""

import json

import pytest

from onecycle.__main__ import main
from onecycle.results import load

FAULTY_CODE = '''
"""Functions with one fault each."""
import keras
import numpy as np
from user_code import build, data


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return data(0)[0]


class Negative(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return -0.1

    def get_config(self):
        return {}


def data_sets():
    return build, (Batches(), Batches()), {"a": {}, "b": {}}


def one_arm():
    return build, data, {"a": {}}


def not_compiled():
    return dict, data, {"a": {}, "b": {}}


def without_validation():
    return build, data(0)[0], {"a": {}, "b": {}}


def unknown_key():
    return build, data, {"a": {"max_lr": 1}}


def with_nan():
    (x, y), held_out = data(0)
    x[3, 1] = np.nan
    return build, ((x, y), held_out), {"a": {}, "b": {}}


def negative_rates():
    return build, data, {"a": {}, "b": {"schedule": Negative()}}


def unreadable():
    def read(seed):
        raise ValueError("no such file")

    return build, read, {"a": {}, "b": {}}


def wild():
    rate = {"schedule": "constant", "max_learning_rate": 1e30}
    return build, data, {"plain": {}, "wild": rate}
'''


@pytest.fixture
def faulty_folder(user_folder):
    """The folder with the user's module and another one, whose functions have one fault each."""
    (user_folder / "faulty_code.py").write_text(FAULTY_CODE)


def test_writes_requested_files(user_folder, tmp_path, capsys):
    """The command prints the verdict and the table, and writes the records, the result and the plot."""
    runs, saved, plot = tmp_path / "runs", tmp_path / "saved.json", tmp_path / "plot.png"
    files = ["--directory", str(runs), "--save", str(saved), "--plot", str(plot)]
    arguments = ["compare", "user_code:parts", "--seeds", "2", "--epochs", "1", "--margin", "0.01"]
    assert main([*arguments, *files]) == 0
    output = capsys.readouterr().out
    assert output.startswith("2 seeds and 1 arm beside the baseline: no verdict and no interval.")
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


def test_arm_that_always_diverges_is_a_result(faulty_folder, capsys):
    """The command says that all runs of the arm diverged, and its exit code is 0."""
    options = ["--seeds", "2", "--epochs", "3"]
    assert main(["compare", "faulty_code:wild", *options]) == 0
    assert "\nwild diverged with every seed.\n" in capsys.readouterr().out
    assert main(["compare", "faulty_code:wild", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["diverged"] == {"plain": 0, "wild": 2}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["user_code:build"], 2, "must return (build, data, arms)"),
        (["user_code:nothing"], 2, "There is no function 'nothing'"),
        (["user_code"], 2, "MODULE:FUNCTION"),
        (["user_code:data"], 1, "user_code:data raised TypeError"),
        (["faulty_code:one_arm"], 2, "`arms` must have at least two arms"),
        (["user_code:parts", "--margin", "-1"], 2, "Option --margin must be > 0"),
        (["user_code:parts", "--mode", "up"], 2, "Option --mode must be"),
        (["user_code:parts", "--jobs", "2", "--cluster", "ray"], 2, "either `jobs` or `cluster`"),
        (["user_code:parts", "--cluster", "slurm"], 2, "Option --cluster must be"),
        (["user_code:parts", "--metric", "auc"], 2, "Option --metric must be one of accuracy, "),
        (["faulty_code:data_sets", "--batch-size", "16"], 2, "Option --batch-size has no effect on data sets"),
        (["faulty_code:not_compiled"], 2, "`build` must be a function that returns a compiled keras.Model"),
        (["faulty_code:without_validation"], 2, "`data` must be ((x, y), (x_val, y_val))"),
        (["faulty_code:unknown_key"], 2, "Did you mean `max_learning_rate`?"),
        (["faulty_code:with_nan"], 1, "`x` has NaN in 1 of 48 rows"),
        (
            ["faulty_code:negative_rates"],
            1,
            "Arm 'b': The schedule of `learning_rate` must return numbers that are >= 0",
        ),
        (["faulty_code:unreadable"], 1, "no such file"),
    ],
)
def test_invalid_use_is_one_line(arguments, code, message, faulty_folder, capsys):
    """The error is one line with the remedy, and the exit code distinguishes the command line from the user's code."""
    assert main(["compare", *arguments]) == code
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1
