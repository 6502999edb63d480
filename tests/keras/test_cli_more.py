"""The command line: previews, tables on a terminal, Ctrl-C, completion, and the article's experiments."""

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


def test_preview_draws_what_the_schedule_gives(capsys, tmp_path):
    """The values are the schedule's own, the table names its phases, and the picture is written."""
    assert main(["preview", "--total-steps", "50", "--max-learning-rate", "0.2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    schedule = onecycle.OneCycle(0.2, 50)
    np.testing.assert_allclose(found["learning_rates"], schedule.values(), rtol=1e-12)
    np.testing.assert_allclose(found["momenta"], schedule.momentum(high=0.95, low=0.85).values(), rtol=1e-12)
    assert [phase["name"] for phase in found["phases"]] == ["warm-up", "decay", "final drop"]
    assert main(["preview", "pytorch", "--total-steps", "50", "--plot", str(tmp_path / "curve.png")]) == 0
    shown = capsys.readouterr().out
    assert "warm-up" in shown
    assert "█" in shown
    assert (tmp_path / "curve.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "name", ["one-cycle", "pytorch", "fastai", "optax", "warmup-linear", "warmup-stable", "cyclical"]
)
@pytest.mark.parametrize("steps", ["1", "2", "7", "100"])
def test_every_schedule_can_be_previewed(name, steps, capsys):
    """Of any length, with as many values as steps."""
    assert main(["preview", name, "--total-steps", steps, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["learning_rates"]) == int(steps)
    assert main(["preview", name, "--total-steps", steps]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--warmup-fraction", "2"], "warmup_fraction"),
        (["fastai", "--shape", "cosine"], "The schedule fastai has no option --shape"),
        (["--max-learning-rate", "-1"], "max_learning_rate"),
        (["--plot", "nowhere/at/all.png"], "There is no folder"),
        (["--low-momentum", "1.5"], "momentum|low"),
    ],
)
def test_wrong_previews(arguments, sentence, capsys):
    """Wrong use is one sentence and exit code 2."""
    assert main(["preview", *arguments]) == 2
    told = capsys.readouterr().err
    assert any(part in told for part in sentence.split("|"))
    assert "Traceback" not in told


def test_completion():
    """The shell asks the command how to complete it; the words are the commands."""
    command = Path(sys.executable).parent / "onecycle"
    asked = {"_ONECYCLE_COMPLETE": "complete_bash", "COMP_WORDS": "onecycle re", "COMP_CWORD": "1"}
    done = subprocess.run([command], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["reproduce", "report"]
    assert done.returncode == 0


# A shell that runs the tests in the background has them ignore Ctrl-C, and so would the command.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from onecycle.__main__ import main
sys.exit(main())
"""


def on_a_terminal(arguments, folder, interrupt_at=None):
    """What a command shows on a terminal, and its exit code; Ctrl-C is sent once it has shown `interrupt_at`."""
    main_end, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], cwd=folder, stdin=end, stdout=end, stderr=end,
        env={**os.environ, "COLUMNS": "100", "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(end)
    shown = b""
    while True:
        try:
            new = os.read(main_end, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
        if not new:
            break
        shown += new
        if interrupt_at and interrupt_at in shown:
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)
            interrupt_at = None
    os.close(main_end)
    return shown.decode(), process.wait(timeout=120)


def test_a_terminal_gets_a_bar_and_a_table(tmp_path):
    """The bar has rate, loss and steps; the table has each rule, drawn with lines."""
    (tmp_path / "mine.py").write_text(CODE)
    shown, code = on_a_terminal(["find", "mine.py:make", "--seed", "0"], tmp_path)
    assert code == 0
    assert "learning_rate:" in shown
    assert "│ one_cycle (decides)" in shown
    assert "Traceback" not in shown


def test_ctrl_c_in_fit_keeps_what_is_finished(tmp_path):
    """The epochs that ended and the model as it is are written, it says where, and the model is plain Keras."""
    (tmp_path / "mine.py").write_text(CODE)
    arguments = ["fit", "mine.py:make", "--epochs", "5000", "--max-learning-rate", "0.01"]
    shown, code = on_a_terminal(
        [*arguments, "--save", "fit.json", "--model", "m.keras"], tmp_path, interrupt_at=b"Epoch 3/5000"
    )
    assert code == 1
    assert "Kept: fit.json, m.keras." in shown
    assert "Traceback" not in shown
    saved = json.loads((tmp_path / "fit.json").read_text())
    assert 2 <= saved["epochs"] < saved["epochs_asked"] == 5000
    assert len(saved["history"]["loss"]) == saved["epochs"]
    import keras

    assert keras.saving.load_model(tmp_path / "m.keras").count_params() == 49
