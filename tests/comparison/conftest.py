"""What the tests of records and engines share. No backend changes them, so they run once, on JAX."""

import atexit
import os
import shutil
import tempfile
import textwrap

import pytest

# The comparisons in worker processes compile the same few steps again and again.
os.environ.setdefault("KERAS_BACKEND", "jax")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory = tempfile.mkdtemp(prefix="onecycle-jax-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

from oracles import counted  # after these, for it imports keras

PERSON = '''
"""A person's own module: a small net, two classes, arms that take long enough to be killed at."""
import os, time
import keras
import numpy as np

PAUSE = float(os.environ.get("ONECYCLE_TEST_PAUSE", "0"))
TOLD = os.environ.get("ONECYCLE_TEST_TOLD")


def build():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.5), loss, metrics=["accuracy"])
    return model


def data(seed):
    draws = np.random.default_rng(seed)
    x = draws.normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    return (x[:48], y[:48]), (x[48:], y[48:])


def slowly():
    """A callback that tells of each run's beginning, by its process and that one's parent, and waits."""
    def begin(logs=None):
        if TOLD:
            with open(TOLD, "a") as file:
                file.write(f"{os.getpid()} {os.getppid()}\\n")
        time.sleep(PAUSE)
    return [keras.callbacks.LambdaCallback(on_train_begin=begin)]


ARMS = {"plain": {"callbacks": slowly}, "cycle": {"max_learning_rate": 0.5, "callbacks": slowly}}


def all_of_it():
    return build, data, ARMS
'''


@pytest.fixture
def person(tmp_path, monkeypatch):
    """A person's module in a folder of its own, which is where the test is."""
    folder = tmp_path / "person"
    folder.mkdir()
    (folder / "person.py").write_text(textwrap.dedent(PERSON))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("ONECYCLE_TEST_TOLD", str(tmp_path / "told"))
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with all records, and its comparison."""
    directory = tmp_path_factory.mktemp("runs")
    return directory, counted.compared(directory)


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the folder, for one test to spoil."""
    for name, content in counted.files(finished[0]).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def count_anew(finished):
    """Models that were built before do not count."""
    counted.BUILT.clear()
