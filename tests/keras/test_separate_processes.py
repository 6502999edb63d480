"""Tests that a training which processes of `torch.distributed` would make alone is refused."""

import keras
import numpy as np
import pytest

import onecycle

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch.distributed is of PyTorch")
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


@pytest.fixture
def model():
    """A small compiled model."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    return model


@pytest.fixture
def two_processes(monkeypatch):
    """Two processes of `torch.distributed`, as PyTorch reports them."""
    import torch

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)


@pytest.mark.parametrize("function", ["fit_one_cycle", "race_learning_rates"])
def test_training_in_several_processes_is_refused(model, two_processes, function):
    """Before any step, with the remedy."""
    with pytest.raises(ValueError, match=r"2 processes.*DistributedDataParallel"):
        getattr(onecycle, function)(model, X, X[:, :1], epochs=4, verbose=0)
    assert int(model.optimizer.iterations) == 0
