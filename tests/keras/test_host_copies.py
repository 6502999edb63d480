"""Copies of a model's state on the host, which a range test restores."""

import gc

import keras
import numpy as np
import pytest

import onecycle
from onecycle.keras_support import host_copies
from onecycle.keras_support.host_copies import copies_on_disk, copy_to_host
from onecycle.keras_support.snapshot import StateSnapshot


def variable(value):
    """Return a variable with these values."""
    return keras.Variable(np.array(value, "float32"))


def test_equal_copies_of_a_variable_share_their_memory():
    """Until the variable changes, and as long as one of them is held."""
    one = variable([1.0, np.nan, -0.0])
    first = copy_to_host(one)
    assert copy_to_host(one) is first
    one.assign([1.0, np.nan, 0.0])
    second = copy_to_host(one)
    assert second is not first
    assert np.signbit(first[2])
    assert not np.signbit(second[2])
    assert id(one) in host_copies._newest
    del second
    gc.collect()
    assert id(one) not in host_copies._newest


@pytest.mark.parametrize("shape", [(), (0,), (3, 5)])
def test_arrays_are_compared_in_parts(monkeypatch, shape):
    """By their bytes, of which the last one counts like the first."""
    monkeypatch.setattr(host_copies, "COMPARED_BYTES", 7)
    array = np.ones(shape, "float32")
    other = array.copy()
    assert host_copies._are_equal(array, other)
    assert not host_copies._are_equal(array, other.astype("int32"))
    assert not host_copies._are_equal(array, other[None])
    if other.size:
        other.reshape(-1)[-1] = 2.0
        assert not host_copies._are_equal(array, other)


def network():
    """Return a compiled model with a layer that is large for this test."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


X = np.random.default_rng(0).normal(size=(400, 20)).astype("float32")
Y = np.random.default_rng(1).integers(3, size=400)


@pytest.fixture
def copies(monkeypatch):
    """Return a list of the arrays in the snapshots that are made, large ones being those of 1 kB and more."""
    monkeypatch.setattr(host_copies, "MIN_BYTES_ON_DISK", 1000)
    made, init = [], StateSnapshot.__init__

    def recording(self, *args, **kwargs):
        init(self, *args, **kwargs)
        made.append({id(variable): value for variable, value in self._values})

    monkeypatch.setattr(StateSnapshot, "__init__", recording)
    return made


@pytest.mark.parametrize("steps_per_execution", ["auto", None])
def test_a_range_test_keeps_one_copy_of_the_state(copies, steps_per_execution):
    """Each of its snapshots refers to the same arrays."""
    model = network()
    onecycle.find_learning_rate(model, X, Y, num_steps=20, steps_per_execution=steps_per_execution, verbose=0)
    assert len(copies) >= 2
    for values in copies:
        # The optimizer is built after the first of them.
        assert all(value is copies[-1][variable] for variable, value in values.items() if value.nbytes >= 1000)


@pytest.mark.parametrize("steps_per_execution", ["auto", None])
def test_the_state_is_kept_on_disk_where_asked(copies, steps_per_execution):
    """The result is the same, and the model is given back to the bit."""
    options = {"num_steps": 40, "steps_per_execution": steps_per_execution, "seed": 1, "verbose": 0}
    expected = onecycle.find_learning_rate(network(), X, Y, **options)
    copies.clear()
    model = network()
    before = model.get_weights()
    result = onecycle.find_learning_rate(model, X, Y, keep="disk", **options)
    assert all(isinstance(value, np.memmap) == (value.nbytes >= 1000) for values in copies for value in values.values())
    np.testing.assert_array_equal(result.losses, expected.losses)
    assert all(map(np.array_equal, before, model.get_weights()))
    with copies_on_disk(False):
        assert not isinstance(copy_to_host(keras.Variable(np.zeros(5000))), np.memmap)


def test_the_callback_keeps_the_state_on_disk_where_asked(copies):
    """As the function does."""
    model, finder = network(), onecycle.LearningRateFinder(num_steps=20, keep="disk")
    before = model.get_weights()
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[finder])
    assert any(isinstance(value, np.memmap) for value in copies[-1].values())
    assert all(map(np.array_equal, before, model.get_weights()))
    assert finder.result is not None


@pytest.mark.parametrize("keep", ["host", None, True])
def test_another_place_is_an_error(keep):
    """The error names the places."""
    with pytest.raises(ValueError, match="'memory', 'disk'"):
        onecycle.find_learning_rate(network(), X, Y, keep=keep)
    with pytest.raises(ValueError, match="'memory', 'disk'"):
        onecycle.LearningRateFinder(keep=keep)
