"""Ctrl-C in `onecycle fit`, by real signals at several moments, in one new process."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.one_backend

CODE = """
import os
import signal
import threading
import time

import keras
import numpy as np

rng = np.random.default_rng(0)
x = rng.normal(size=(320, 4)).astype("float32")
reads = []


def handler():
    return signal.getsignal(signal.SIGINT).__self__


def interrupt_again(first):
    # Two signals that come before the handler runs are one.
    while not first.received:
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_in_training(first):
    while not first.deferred:
        time.sleep(0.005)
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGINT)


class Batches(keras.utils.PyDataset):
    '''Twenty batches that send Ctrl-C when the batch with the number `at` is read.'''

    at, times, second = None, 1, None

    def __len__(self):
        return 20

    def __getitem__(self, k):
        reads.append(k)
        if len(reads) == self.at:
            if self.times == 2:
                self.second = threading.Thread(target=interrupt_again, args=(handler(),))
                self.second.start()
            os.kill(os.getpid(), signal.SIGINT)
        return x[16 * k : 16 * k + 16], x[16 * k : 16 * k + 16, :1]


def build():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    return model


def batches(at, times=1):
    reads.clear()
    data = Batches()
    data.at, data.times = at, times
    return build(), data


def twice():
    model, data = batches(5, times=2)
    save = model.save

    def save_after_second(path):
        # On a busy machine the thread may be late.
        data.second.join()
        save(path)

    model.save = save_after_second
    return model, data


def in_validation():
    model, data = batches(10)
    return model, (x, x[:, :1]), data


def arrays():
    threading.Thread(target=interrupt_in_training, args=(handler(),)).start()
    return build(), x, x[:, :1]
"""

# Prints the exit code, the files written, the epochs that the result has, and what was printed to standard error.
PROGRAM = """
import contextlib, io, json, pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores Ctrl-C
import mine
from onecycle.__main__ import main

def fit(function, *options):
    files = ("m.keras", "run.json", "run.png")
    for name in files:
        pathlib.Path(name).unlink(missing_ok=True)
    saved = ["--model", files[0], "--save", files[1], "--plot", files[2]]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["fit", function, "--json", *saved, *options])
    written = [name for name in files if pathlib.Path(name).exists()]
    facts = json.loads(out.getvalue() or "{}")
    size = mine.keras.saving.load_model("m.keras").count_params() if "m.keras" in written else None
    history = facts.get("history", {})
    assert "val_loss" not in history, "the loss on a part of the validation data"
    return [code, written, facts.get("epochs"), len(history.get("loss", ())), size, err.getvalue()]

given = ("--epochs", "3", "--max-learning-rate", "0.02")
mine.first = lambda: mine.batches(5)
mine.second = lambda: mine.batches(28)
mine.in_search = lambda: mine.batches(40)
results = {
    "first epoch": fit("mine:first", *given),
    "second epoch": fit("mine:second", *given),
    "validation": fit("mine:in_validation", *given),
    "search": fit("mine:in_search", "--epochs", "3"),
    "twice": fit("mine:twice", *given),
}
for mine.delay in (0.1, 0.3):
    results[f"arrays {mine.delay}"] = fit("mine:arrays", "--epochs", "100000", "--max-learning-rate", "0.02")
print("RESULTS", json.dumps(results))
"""
ALL = ["m.keras", "run.json", "run.png"]
PARAMETERS = 25


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Moment of Ctrl-C -> [exit code, files, finished epochs, values of the loss, parameters, standard error]."""
    folder = tmp_path_factory.mktemp("ctrl_c")
    (folder / "mine.py").write_text(CODE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, timeout=600,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert "RESULTS" in done.stdout, done.stdout + done.stderr
    return json.loads(done.stdout.partition("RESULTS")[2])


@pytest.mark.parametrize(
    ("moment", "epochs", "losses"), [("first epoch", 0, 1), ("second epoch", 1, 2), ("validation", 1, 1)]
)
def test_ctrl_c_while_training(results, moment, epochs, losses):
    """Training ends with the batch, everything requested is written, and the exit code is 130."""
    code, files, finished, values, size, printed = results[moment]
    assert (code, files, finished, values, size) == (130, ALL, epochs, losses, PARAMETERS)
    assert f"Interrupted after {epochs} of 3 epochs. Saved: m.keras, run.json, run.png." in printed
    assert "Traceback" not in printed


def test_ctrl_c_at_any_moment(results):
    """Ctrl-C within a training step loses nothing, whatever the step is doing."""
    found = [result for moment, result in results.items() if moment.startswith("arrays")]
    assert [result[:2] for result in found] == [[130, ALL]] * 2
    assert all(size == PARAMETERS for *_, size, _ in found)


def test_ctrl_c_in_the_search(results):
    """During the range test there is nothing to write: one line, and the exit code is 130."""
    code, files, *_, printed = results["search"]
    assert (code, files) == (130, [])
    assert printed.splitlines()[-1] == "Interrupted. Nothing was saved."


def test_second_ctrl_c(results):
    """A second Ctrl-C stops at once, with the exit code 130 and one line. A model file is whole or missing."""
    code, files, *_, size, printed = results["twice"]
    assert code == 130
    assert size == (PARAMETERS if "m.keras" in files else None)
    assert printed.splitlines()[-1] == "Interrupted at once. Some of the requested files may be missing."
