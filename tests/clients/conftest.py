"""Settings of the tests of other packages that train with onecycle. They run once, alone on PyTorch."""

import os

import pytest

# Each trial is a new model, and PyTorch compiles none. The networks are too small to share their work between threads.
os.environ.setdefault("KERAS_BACKEND", "torch")
if os.environ["KERAS_BACKEND"] == "torch":
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def seeded_in_an_empty_folder(tmp_path, monkeypatch):
    """Give every test the same random numbers, and a folder for what the package writes."""
    import keras

    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
