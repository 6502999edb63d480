"""Every block of Python in README.md and docs/ runs, in the order of its page."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from docs.pages import PAGES, blocks

# What a reader has already: a model that builds quickly, and a few hundred digits.
SETUP = """
import keras
import numpy as np
import onecycle

(x, y), (x_val, y_val) = onecycle.tasks.load_task("digits").data
x, y, x_val, y_val = x.reshape(-1, 64)[:640], y[:640], x_val.reshape(-1, 64), y_val
data = (x, y), (x_val, y_val)

def build():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(10, "softmax")])
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""
# A page shows one way after the other, and on a trained model a range test finds nothing.
FRESH = """
keras.utils.set_random_seed(0)
model = build()
"""
# A script of its own sees two devices where it asks for them, and no more than that of a cluster.
DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    """Each page in a folder of its own; what it opens is closed."""
    monkeypatch.chdir(tmp_path)
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language == "python" for b in blocks(page))])
def test_code_of_a_page_runs(page):
    """The blocks of a page, which share their names, run from the first to the last, each with a fresh model."""
    names = {"__name__": "__main__"}
    exec(SETUP, names)
    for block in blocks(page):
        if block.language == "python" and block.title is None:
            exec(FRESH, names)
            exec(compile(block.shifted, PAGES[page], "exec"), names)


SCRIPTS = {b.title: b.text for page in PAGES for b in blocks(page) if b.language == "python" and b.title}
HOSTS = "several_hosts.py"  # takes two processes


@pytest.mark.parametrize("name", sorted(SCRIPTS.keys() - {HOSTS}))
def test_script_of_a_page_runs(name):
    """A block that is a file of its own runs as one, on the backend that it names."""
    finished(started(name))


def test_script_for_several_hosts_runs_in_two_processes():
    """Both processes end with the same weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    told = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": "2", "XLA_FLAGS": ""}
    both = [started(HOSTS, **told, KERAS_DISTRIBUTION_PROCESS_ID=str(rank)) for rank in range(2)]
    said = [finished(process).splitlines()[-1] for process in both]

    assert said[0].startswith("weights ")
    assert said[0] == said[1]


def started(name, **environment):
    """The script in a process of its own, in the folder of the test."""
    Path(name).write_text(SCRIPTS[name], encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, name],
        env={**os.environ, **DEVICES, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    """What it printed, once it has ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]
    return out
