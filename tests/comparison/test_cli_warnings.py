"""What the command line says beside its results: warnings, and the next step to take."""

import json
import subprocess
import sys

import pytest

from onecycle.__main__ import main

CODE = """
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")


def build():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    return model


def arms():
    data = (x, x[:, :1])
    return build, (data, data), {"plain": {"max_learning_rate": 0.01}, "high": {"max_learning_rate": 0.02}}
"""
PROGRAM = """
import sys
from onecycle.__main__ import main
for epochs in ("1", "2"):
    assert main(["compare", "mine.py:arms", "--seeds", "2", "--epochs", epochs, "--directory", "runs"]) == 0
"""


def test_comparison_with_other_epochs(tmp_path):
    """The records of other settings are one warning, which is not repeated after the result."""
    (tmp_path / "mine.py").write_text(CODE)
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    found = [line for line in (done.stdout + done.stderr).splitlines() if "other settings" in line]
    assert len(found) == 1
    assert found[0].startswith("Warning: 4 records were made with other settings")
    assert done.stdout.count("\nNext: ") == 2


@pytest.mark.parametrize("command", [["preview"], ["preview", "optax"], ["compare", "mine.py:arms", "--seeds", "2"]])
def test_next_step(command, tmp_path, monkeypatch, capsys):
    """A command ends with the next step, which `--json` leaves out."""
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("Next: ")
    assert main([*command, "--json"]) == 0
    json.loads(capsys.readouterr().out)
