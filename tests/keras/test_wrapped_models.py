"""Tests of Keras models that PyTorch has wrapped, as in `DistributedDataParallel`."""

import keras
import numpy as np
import pytest

import onecycle

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch wraps only its own modules")
X = np.zeros((32, 4), "float32")


def keras_model():
    """Return a small compiled model."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def distributed_model(tmp_path):
    """Return a model in `DistributedDataParallel`, in a group of one process."""
    import torch

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield torch.nn.parallel.DistributedDataParallel(keras_model())
    torch.distributed.destroy_process_group()


CALLS = {
    "find": lambda model: onecycle.find_learning_rate(model, X, X[:, :1], verbose=0),
    "race": lambda model: onecycle.race_learning_rates(model, X, X[:, :1], epochs=9, verbose=0),
    "fit": lambda model: onecycle.fit_one_cycle(model, X, X[:, :1], epochs=1, verbose=0),
    "schedule": lambda model: onecycle.schedule_hyperparameters(model, learning_rate=0.1),
    "unschedule": onecycle.unschedule_hyperparameters,
}


@pytest.mark.parametrize("name", CALLS)
def test_distributed_model_is_refused(name, distributed_model):
    """The error names the Keras model inside the wrapper, which is what to pass."""
    with pytest.raises(TypeError, match=r"Pass the Keras model inside it, `model\.module`"):
        CALLS[name](distributed_model)


def test_model_inside_is_accepted(distributed_model):
    """The Keras model inside the wrapper can be tested and trained."""
    result = onecycle.find_learning_rate(distributed_model.module, X, X[:, :1], num_steps=12, verbose=0)
    assert len(result.learning_rates) >= 2


def test_compiled_module_is_refused():
    """So is a model that `torch.compile` has wrapped."""
    import torch

    class Compiled(torch.nn.Module):  # as `torch.compile` makes it, whose own import warns
        def __init__(self, model):
            super().__init__()
            self._orig_mod = model

    with pytest.raises(TypeError, match=r"`model\._orig_mod`"):
        onecycle.find_learning_rate(Compiled(keras_model()), X, X[:, :1], verbose=0)
