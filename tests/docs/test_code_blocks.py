"""Tests that the Python blocks in README.md and docs/ run, in the order of their page."""

import os
import re
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from docs.pages import PAGES, blocks

# What the pages take for granted: a small model and a few hundred digits.
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
# Each block gets a fresh model, because a range test suggests nothing for a trained one.
FRESH = """
keras.utils.set_random_seed(0)
model = build()
"""
# A script has two devices.
DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


@pytest.fixture(autouse=True)
def isolated_page(tmp_path, monkeypatch):
    """Run each page in its own folder, then close its figures and clear the session."""
    monkeypatch.chdir(tmp_path)
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language == "python" for b in blocks(page))])
@pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")  # of KerasTuner
def test_code_of_a_page_runs(page):
    """The blocks of a page run from first to last in one namespace, each with a fresh model."""
    names = {"__name__": "__main__"}
    exec(SETUP, names)
    for block in blocks(page):
        if block.language == "python" and block.title is None:
            exec(FRESH, names)
            exec(compile(block.text_at_its_line, PAGES[page], "exec"), names)


SCRIPTS = {b.title: b.text for page in PAGES for b in blocks(page) if b.language == "python" and b.title}
HOSTS, DDP = "several_hosts.py", "ddp.py"  # need several processes
RACE = "race_on_hosts.py"  # needs a cluster
OTHERS = {HOSTS, DDP, RACE}
SLOW = ("data_parallel.py", "mirrored.py", "keras_hub_classifier.py")  # the long tests run them
NEEDED = {"keras_hub_classifier.py": "tensorflow_text"}  # which is not available everywhere


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name in SLOW else [])
        for name in sorted(SCRIPTS.keys() - {HOSTS, DDP, RACE})
    ],
)
def test_script_of_a_page_runs(name):
    """A block with a file name runs as a script, on the backend that it sets."""
    if find_spec(NEEDED.get(name, "onecycle")) is None:
        pytest.skip(f"needs {NEEDED[name]}")
    output_of(start_script(name))


def test_script_for_several_hosts_runs_in_two_processes():
    """The script for several hosts runs in two processes, and both end with the same weights."""
    environment = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{free_port()}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        "XLA_FLAGS": "",
    }
    processes = [start_script(HOSTS, **environment, KERAS_DISTRIBUTION_PROCESS_ID=str(rank)) for rank in range(2)]
    lines = [output_of(process).splitlines()[-1] for process in processes]

    assert lines[0].startswith("weights ")
    assert lines[0] == lines[1]


@pytest.mark.long
def test_script_with_ddp_gives_the_numbers_of_one_process():
    """The processes end with the same peak, loss and weights, which are those of a single process."""
    lines = []
    for processes in (1, 2):
        environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
        started = [start_script(DDP, **environment, RANK=str(rank)) for rank in range(processes)]
        lines += [output_of(process).splitlines()[-1] for process in started]
    numbers = [[float(number) for number in re.findall(r"[\d.]+", line)] for line in lines]
    assert len(numbers[0]) == 3
    for found in numbers[1:]:
        assert found == pytest.approx(numbers[0], rel=1e-2)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_script_with_a_race_runs_on_a_cluster():
    """Each candidate is trained in a worker, with a distribution over the devices there."""
    from distributed import LocalCluster

    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "silence_logs": "CRITICAL"}
    with LocalCluster(n_workers=2, **options) as cluster:
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        printed = output_of(start_script(RACE, RACE_CLUSTER=address), timeout=500)
    assert "race" in printed.lower()
    assert Path("winner.keras").exists()


def free_port():
    """Return a port of this machine that nothing uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_script(name, **environment):
    """Start a script of a page in a new process, in the folder of the test."""
    Path(name).write_text(SCRIPTS[name], encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, name],
        env={**os.environ, **DEVICES, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(process, timeout=120):
    """Return what a process printed; it must end without an error."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err[-2000:]
    return out
