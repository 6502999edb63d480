"""`onecycle fine-tune`: both phases of a user's model, and the files that it writes."""

import json
import sys

import keras
import pytest

import onecycle
from onecycle.__main__ import main

pytestmark = pytest.mark.one_backend

CODE = """
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")
y = (x[:, 0] > 0).astype("int32")


def make():
    body, top = keras.layers.Dense(4, "relu", name="body"), keras.layers.Dense(2, "softmax", name="top")
    model = keras.Sequential([keras.Input((4,)), body, top])
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy")
    return model, (x[:64], y[:64]), (x[64:], y[64:])
"""
GIVEN = ("--epochs", "2", "--seed", "0")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE, encoding="utf-8")
    yield "mine.py:make"
    sys.modules.pop("mine", None)


def test_both_phases_are_trained_and_written(mine, tmp_path, capsys):
    """A peak for each phase, a named head, a backup that is deleted at the end, and a report of both cycles."""
    peaks = ("--max-learning-rate", "0.1", "--max-learning-rate", "0.02", "--head", "top")
    files = ("--save", "run.json", "--model", "tuned.keras", "--backup-dir", "backup")

    assert main(["fine-tune", mine, *GIVEN, *peaks, *files, "--json"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["epochs"] == 3
    assert len(printed["history"]["val_loss"]) == 3
    report = onecycle.load(tmp_path / "run.json")
    assert [cycle.max_learning_rate for cycle in report.phases] == [0.1, 0.02]
    assert report.head == ("top",)
    assert keras.saving.load_model(tmp_path / "tuned.keras").layers[0].trainable
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-learning-rate", "0.1", "--head", "tip"), "Argument `head` must name a layer"),
        (("--max-learning-rate", "race"), "`fine-tune` takes no race"),
        (("--max-learning-rate", "1", "--max-learning-rate", "1", "--max-learning-rate", "1"), "for two phases"),
    ],
)
def test_wrong_options_are_named(arguments, message, mine, capsys):
    """Before any training."""
    assert main(["fine-tune", mine, *GIVEN, *arguments]) in (1, 2)
    assert message in capsys.readouterr().err
