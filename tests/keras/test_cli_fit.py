"""`onecycle fit`: validation data, ways to give the peak, and runs that are continued from a backup."""

import json
import os
import signal
import sys

import keras
import numpy as np
import pytest

import onecycle
from onecycle.__main__ import main
from onecycle.cli import fit, user_code
from onecycle.training import cycle_spec

pytestmark = pytest.mark.one_backend

CODE = """
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
train, validation = (x[:192], x[:192, :1]), (x[192:], x[192:, :1])


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, k):
        return x[32 * k : 32 * k + 32], x[32 * k : 32 * k + 32, :1]


def build():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    return model


def make():
    return build(), *train


def with_validation():
    return build(), train, validation


def data_sets():
    return build(), Batches(), validation
"""
GIVEN = ("--max-learning-rate", "0.02", "--seed", "0", "--json")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The module with the user's code, in the current folder."""
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine

    yield mine
    sys.modules.pop("mine", None)


@pytest.fixture
def run(mine, capsys):
    """Return a function that runs `onecycle fit` and returns the exit code and the JSON printed."""

    def fit_model(function, *options):
        code = main(["fit", f"mine:{function}", *options])
        captured = capsys.readouterr()
        print(captured.err, file=sys.stderr)  # shown where the test fails
        return code, json.loads(captured.out or "{}")

    return fit_model


@pytest.mark.parametrize("function", ["with_validation", "data_sets"])
def test_validation_data(run, function):
    """Validation data that the function returns is evaluated after each epoch."""
    code, facts = run(function, "--epochs", "2", *GIVEN)
    assert code == 0
    assert len(facts["history"]["val_loss"]) == 2


def test_forms_of_data(mine):
    """Tuples are training and validation data, unless the model takes a tuple of inputs."""
    x, y = mine.train
    two = keras.Model([a := keras.Input((4,)), b := keras.Input((4,))], keras.layers.Dense(1)(a + b))
    two.compile("sgd", "mse")

    def fields(model, *data):
        read = user_code.check_model_and_data((model, *data), "mine:make")
        return read.x, read.y, read.sample_weight, read.validation_data

    one, data = mine.build(), mine.Batches()
    assert fields(one, x, y) == (x, y, None, None)
    assert fields(one, (x, y)) == (x, y, None, None)
    assert fields(one, (x, y, y[:, 0]), mine.validation)[3] is mine.validation
    assert fields(one, data) == (data, None, None, None)
    assert fields(one, (x, y), data) == (x, y, None, data)
    assert fields(two, (x, x), (y, y)) == ((x, x), (y, y), None, None)
    assert fields(two, ((x, x), y), ((x, x), y)) == ((x, x), y, None, ((x, x), y))


def test_ways_to_find_the_peak_are_those_of_python():
    """`onecycle fit` takes every search for the peak that `fit_one_cycle` takes; a race is a command of its own."""
    assert set(fit.PICKERS.values()) == set(cycle_spec.SEARCHES)


def test_peak_by_a_range_test_and_by_a_saved_result(run, capsys):
    """`range-test` finds the peak, which is printed before training; a saved result is a peak too."""
    assert main(["fit", "mine:make", "--epochs", "2", "--max-learning-rate", "range-test", "--seed", "0"]) == 0
    printed = capsys.readouterr().out
    assert "Picked by a range test" in printed.partition("Epoch 1/2")[0]
    assert main(["find", "mine:make", "--seed", "0", "--save", "found.json"]) == 0
    assert "--max-learning-rate found.json`" in capsys.readouterr().out
    code, facts = run("make", "--epochs", "1", "--max-learning-rate", "found.json", "--json")
    assert (code, facts["max_learning_rate"]) == (0, onecycle.load("found.json").learning_rate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-learning-rate", "large"], "must be a number, range-test, or a file"),
        (["--max-learning-rate", "sweep"], "The sweep was removed; `onecycle race` finds better peaks."),
        (["--max-learning-rate", "race"], "run `onecycle race MODULE:FUNCTION`"),
        (["--max-learning-rate", "mine.py"], "mine.py is not complete JSON"),
        (["--backup-dir", "."], "must be a folder for the backup alone"),
        (["--backup-dir", "mine.py"], "is a file"),
    ],
)
def test_wrong_options(mine, capsys, options, message):
    """A peak that is none, and a backup folder with other files, which would be deleted, are wrong usage."""
    assert main(["fit", "mine:make", *options]) == 2
    assert message in capsys.readouterr().err


def test_interrupted_run_is_continued(run, mine, monkeypatch, tmp_path):
    """The same command continues after the last finished epoch, with the peak and the cycle of the first part."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = ("--epochs", "4", "--seed", "0", "--backup-dir", "backup", "--save", "run.json", "--json")
    read, count = mine.Batches.__getitem__, []

    def interrupting(self, k):
        count.append(k)
        if fit_begun and len(count) == 15:
            os.kill(os.getpid(), signal.SIGINT)
        return read(self, k)

    fit_begun = []
    monkeypatch.setattr(
        "onecycle.cli.fit_callbacks.StopOnCtrlC.on_train_begin",
        lambda self, logs=None: (fit_begun.append(True), count.clear(), self.ctrl_c.defer()),
    )
    monkeypatch.setattr(mine.Batches, "__getitem__", interrupting)
    code, first = run("data_sets", *options)
    assert (code, first["interrupted"]) == (130, True)
    assert first["epochs"] in (1, 2)  # batches are read ahead
    assert (tmp_path / "backup").is_dir()
    monkeypatch.setattr(mine.Batches, "__getitem__", read)
    code, second = run("data_sets", *options)
    assert (code, second["epochs"], second["max_learning_rate"]) == (0, 4, first["max_learning_rate"])
    assert len(second["history"]["loss"]) == 4
    report = onecycle.load("run.json")
    assert (report.steps, report.total_steps) == (24, 24)
    np.testing.assert_allclose(second["history"]["learning_rate"][-1], report.learning_rates[-1], rtol=1e-5)
    assert not (tmp_path / "backup").exists()
