"""Shared by the tests of records and of execution. They do not depend on the backend, so they run once, on JAX."""

import os
import textwrap

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")

from oracles import counted  # imported after the environment is set, because it imports keras

USER_CODE = '''
"""A user's module: a small net, two classes, and arms whose runs last long enough to be killed."""
import os, time
import keras
import numpy as np

PAUSE = float(os.environ.get("ONECYCLE_TEST_PAUSE", "0"))
LOG = os.environ.get("ONECYCLE_TEST_LOG")


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


def slow_callbacks():
    """Log the process and its parent when a run starts, and wait."""
    def begin(logs=None):
        if LOG:
            with open(LOG, "a") as file:
                file.write(f"{os.getpid()} {os.getppid()}\\n")
        time.sleep(PAUSE)
    return [keras.callbacks.LambdaCallback(on_train_begin=begin)]


ARMS = {"plain": {"callbacks": slow_callbacks}, "cycle": {"max_learning_rate": 0.5, "callbacks": slow_callbacks}}


def parts():
    return build, data, ARMS
'''


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """The folder with the user's module `user_code`, which is the current directory."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "user_code.py").write_text(textwrap.dedent(USER_CODE))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("ONECYCLE_TEST_LOG", str(tmp_path / "log"))
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with all records, and its comparison."""
    directory = tmp_path_factory.mktemp("runs")
    return directory, counted.compared(directory)


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the folder that a test may change."""
    for name, content in counted.files(finished[0]).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def count_anew(finished):
    """Reset the count of models built."""
    counted.BUILT.clear()
