"""The command line: shell completion, output on a terminal, and Ctrl-C."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import onecycle
from onecycle.__main__ import main

CODE = """
import keras
import numpy as np

def make():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    return model, x, x[:, :1]
"""


def test_completion():
    """Shell completion completes the names of commands."""
    command = Path(sys.executable).parent / "onecycle"
    variables = {"_ONECYCLE_COMPLETE": "complete_bash", "COMP_WORDS": "onecycle re", "COMP_CWORD": "1"}
    done = subprocess.run([command], env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["reproduce", "report"]
    assert done.returncode == 0


# Processes in the background ignore Ctrl-C, and so do the processes they start; the tests may run there.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from onecycle.__main__ import main
sys.exit(main())
"""


def run_on_terminal(arguments, folder, interrupt_at=None):
    """Run a command on a terminal, with Ctrl-C after the output `interrupt_at`; return the output and exit code."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], cwd=folder, stdin=end, stdout=end, stderr=end,
        env={**os.environ, "COLUMNS": "100", "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(end)
    output = b""
    while True:
        try:
            new = os.read(terminal, 4096)
        except OSError:  # on Linux, when the other end is closed
            break
        if not new:
            break
        output += new
        if interrupt_at and interrupt_at in output:
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)
            interrupt_at = None
    os.close(terminal)
    return output.decode(), process.wait(timeout=120)


def test_progress_bar_and_table_on_a_terminal(tmp_path):
    """On a terminal, `find` shows a progress bar with the learning rate, and draws the table of the rules."""
    (tmp_path / "mine.py").write_text(CODE)
    output, code = run_on_terminal(["find", "mine.py:make", "--seed", "0"], tmp_path)
    assert code == 0
    assert "learning_rate:" in output
    assert "│ one_cycle (decides)" in output
    assert "Traceback" not in output


def test_ctrl_c_on_a_terminal(tmp_path):
    """Ctrl-C on a terminal says that training will stop, writes the files, names them, and exits with 130."""
    (tmp_path / "mine.py").write_text(CODE)
    arguments = ["fit", "mine.py:make", "--epochs", "5000", "--max-learning-rate", "0.01"]
    output, code = run_on_terminal([*arguments, "--save", "fit.json"], tmp_path, interrupt_at=b"Epoch 3/5000")
    assert code == 130
    assert "Press Ctrl-C again to stop at once." in output
    assert "Saved: fit.json." in output
    assert "Traceback" not in output
    report = onecycle.load(tmp_path / "fit.json")
    assert 2 <= len(report.history["loss"]) < 5000
    assert report.steps < report.total_steps


DATA_SET = """
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 8

    def __getitem__(self, k):
        return x[8 * k : 8 * k + 8], x[8 * k : 8 * k + 8, :1]


def make():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model, Batches()
"""


@pytest.mark.parametrize("command", [["find"], ["fit", "--epochs", "1"], ["race", "--epochs", "9"]])
def test_batch_size_beside_a_data_set_is_a_usage_error(command, tmp_path, capsys):
    """A data set has its batches, so the option would have no effect: the exit code is 2, before any training."""
    (tmp_path / "batches.py").write_text(DATA_SET)
    assert main([command[0], f"{tmp_path}/batches.py:make", *command[1:], "--batch-size", "64"]) == 2
    assert "--batch-size 64 and a Batches" in capsys.readouterr().err
