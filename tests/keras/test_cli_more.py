"""The command line: `preview`, shell completion, output on a terminal, and Ctrl-C."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
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


def test_preview_shows_the_values_of_the_schedule(capsys, tmp_path):
    """`preview` gives the values and phases of the schedule, draws a chart and writes the plot."""
    assert main(["preview", "--total-steps", "50", "--max-learning-rate", "0.2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    schedule = onecycle.OneCycle(0.2, 50)
    np.testing.assert_allclose(facts["learning_rates"], schedule.values(), rtol=1e-12)
    np.testing.assert_allclose(facts["momenta"], schedule.momentum(high=0.95, low=0.85).values(), rtol=1e-12)
    assert [phase["name"] for phase in facts["phases"]] == ["warm-up", "decay", "final drop"]
    assert main(["preview", "pytorch", "--total-steps", "50", "--plot", str(tmp_path / "curve.png")]) == 0
    output = capsys.readouterr().out
    assert "warm-up" in output
    assert "█" in output
    assert (tmp_path / "curve.png").stat().st_size > 5000


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        (["one-cycle", "--warmup-fraction", "0.3", "--shape", "cosine"], {"warmup_fraction": 0.3, "shape": "cosine"}),
        (["one-cycle", "--final-fraction", "0", "--initial-divisor", "3", "--final-divisor", "7"],
         {"final_fraction": 0.0, "initial_divisor": 3.0, "final_divisor": 7.0}),
        (["pytorch"], lambda peak, steps: onecycle.OneCycle.pytorch(peak, steps)),
        (["fastai"], lambda peak, steps: onecycle.OneCycle.fastai(peak, steps)),
        (["optax"], lambda peak, steps: onecycle.OneCycle.optax(steps, peak)),
        (["warmup-linear"], onecycle.WarmupLinearDecay),
        (["warmup-linear", "--warmup-fraction", "0.4"],
         lambda peak, steps: onecycle.WarmupLinearDecay(peak, steps, warmup_fraction=0.4)),
        (["warmup-stable"], onecycle.WarmupStableDecay),
        (["warmup-stable", "--final-fraction", "0.5"],
         lambda peak, steps: onecycle.WarmupStableDecay(peak, steps, decay_fraction=0.5)),
        (["cyclical"], lambda peak, steps: onecycle.CyclicalLearningRate(peak / 10, peak, max(1, steps // 8))),
    ],
)  # fmt: skip
def test_preview_shows_what_the_schedule_does(options, schedule, steps, capsys):
    """The curves, which are made without Keras, are those of the schedules, with their momentum."""
    assert main(["preview", *options, "--total-steps", str(steps), "--max-learning-rate", "0.2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    made = onecycle.OneCycle(0.2, steps, **schedule) if isinstance(schedule, dict) else schedule(0.2, steps)
    np.testing.assert_allclose(facts["learning_rates"], made.values(steps), rtol=1e-12)
    momenta = made.momentum(high=0.95, low=0.85).values(steps) if hasattr(made, "momentum") else []
    np.testing.assert_allclose(facts["momenta"], momenta, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["one-cycle", "pytorch", "fastai", "optax", "warmup-linear", "warmup-stable", "cyclical"]
)
@pytest.mark.parametrize("steps", ["1", "2", "7", "100"])
def test_every_schedule_can_be_previewed(name, steps, capsys):
    """`preview` shows every schedule at any length, with one value per step, and the momentum of every cycle."""
    assert main(["preview", name, "--total-steps", steps, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["learning_rates"]) == int(steps)
    assert len(facts["momenta"]) == (0 if name.startswith("warmup") else int(steps))
    assert main(["preview", name, "--total-steps", steps]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--warmup-fraction", "2"], "warmup_fraction"),
        (["fastai", "--shape", "cosine"], "The schedule fastai has no option --shape"),
        (["--max-learning-rate", "-1"], "max_learning_rate"),
        (["--plot", "nowhere/at/all.png"], "There is no folder"),
        (["--low-momentum", "1.5"], "`low` must be"),
        (["--shape", "exponential"], "`shape` must be one of"),
    ],
)
def test_wrong_usage_of_preview(arguments, expected, capsys):
    """Wrong usage exits with 2 and prints one line that names the option."""
    assert main(["preview", *arguments]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


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


@pytest.mark.parametrize("command", [["find"], ["fit", "--epochs", "1"], ["sweep", "--epochs", "9"]])
def test_batch_size_beside_a_data_set_is_a_usage_error(command, tmp_path, capsys):
    """A data set has its batches, so the option would have no effect: the exit code is 2, before any training."""
    (tmp_path / "batches.py").write_text(DATA_SET)
    assert main([command[0], f"{tmp_path}/batches.py:make", *command[1:], "--batch-size", "64"]) == 2
    assert "--batch-size 64 and a Batches" in capsys.readouterr().err
