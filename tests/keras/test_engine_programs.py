"""The compiled programs of `train_members`: which models they suit, what is kept of them, and that nothing else is."""

import gc
import weakref

import keras
import numpy as np
import pytest
from oracles.members import BATCH, COMPILED, CYCLE, EPOCHS, ROWS, adam, arrays, dense, make, sgd

import onecycle
from onecycle.engine import choice, train_members
from onecycle.engine.eligibility import unsuited

layers = keras.layers
programs_only = pytest.mark.skipif(not COMPILED, reason="PyTorch has no compiled programs")
jax_only = pytest.mark.skipif(keras.backend.backend() != "jax", reason="only on JAX is `fit` ever the faster one")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's programs")
def test_programs_of_tensorflow_train_one_after_the_other():
    """They change the model's variables, so none can be mapped over members, nor follow a strategy of replicas."""
    import tensorflow as tf

    model = make()
    x, y = arrays(model)
    assert train_members(model, x, y, members=[0.01, 0.02], epochs=1).engine == "scan"
    with pytest.raises(ValueError, match="mapped over members"):
        train_members(model, x, y, members=[0.01], epochs=1, engine="vmap")
    assert unsuited(model, tf.sparse.from_dense(x), y) == "the data are sparse or ragged"
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        assert "distributed" in unsuited(make(), x, y)


@jax_only
def test_trying_fit_out_leaves_the_programs_their_state(monkeypatch):
    """JAX donates what `fit` trains on; where steps are long, `fit` is tried before a program trains after all."""
    monkeypatch.setattr(choice, "SLOW", 0.0)
    monkeypatch.setattr(choice, "LONG", 0.0)
    monkeypatch.setattr(choice, "CLEARLY", 0.0)  # never faster by so much
    model = make(dense, adam, metrics=["mae"])
    x, y = arrays(model)
    asked = {"members": [0.01, 0.02], "epochs": EPOCHS, "batch_size": BATCH, "validation_data": (x, y)}
    expected = train_members(model, x, y, engine="scan", **asked)
    found = train_members(model, x, y, **asked)
    assert found.engine in COMPILED
    assert "through `fit`" in found.reason
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
    np.testing.assert_allclose(found.validation["mae"], expected.validation["mae"], rtol=1e-5)


@programs_only
def test_states_of_layers_are_given_back():
    """A layer with `stateful=True` goes on afterwards from where it was."""
    model = keras.Sequential([keras.Input((3, 2), batch_size=BATCH), layers.LSTM(4, stateful=True), layers.Dense(1)])
    model.compile(sgd(), "mse")
    x = np.random.default_rng(0).normal(size=(ROWS, 3, 2)).astype("float32")
    model.predict(x, batch_size=BATCH, verbose=0)
    before = [np.array(keras.ops.convert_to_numpy(state)) for state in model.layers[0].states]
    onecycle.find_learning_rate(model, x, x[:, 0, :1], num_steps=20, batch_size=BATCH, verbose=0)
    for state, own in zip(model.layers[0].states, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(state), own)


@programs_only
def test_programs_are_used_again():
    """A second call of the same shapes compiles nothing, whatever its epochs, rates and seeds; another model does."""
    model = make()
    model.optimizer.build(model.trainable_variables)  # TensorFlow's programs go with an optimizer that they had built
    x, y = arrays(model)
    first = train_members(model, x, y, members=[0.01, 0.02], epochs=2, batch_size=BATCH, engine="scan")
    second = train_members(model, x, y, members=[(CYCLE, None, 7)], epochs=5, batch_size=BATCH, engine="scan")
    assert first.compile_seconds > 0
    assert second.compile_seconds == 0
    model.compile(sgd(), "mae")
    assert train_members(model, x, y, members=[0.01], epochs=1, batch_size=BATCH).compile_seconds > 0


@programs_only
def test_programs_serve_other_betas_and_later_steps():
    """Adam's products of betas are longer or shorter then; the program, or another, takes them."""
    model = make(optimizer=adam)
    x, y = arrays(model)
    options = {"epochs": 1, "batch_size": BATCH, "engine": "scan"}
    cycles = [onecycle.OneCycle(0.01, steps) for steps in (5, 50)]
    members = [(cycle, cycle.momentum(high=high)) for cycle, high in zip(cycles, (0.95, 0.99), strict=True)]
    first, other = (train_members(model, x, y, members=[own], **options).losses for own in members)
    assert not np.array_equal(first, other)
    for _ in range(3):
        model.fit(x, y, epochs=8, verbose=0)
        assert np.isfinite(train_members(model, x, y, members=members, **options).losses).all()


@programs_only
def test_no_program_outlives_the_optimizers_variables():
    """Of an optimizer that was not built before, none is left in memory afterwards."""
    model = make(optimizer=adam)
    x, y = arrays(model)
    before = alive()
    onecycle.find_learning_rate(model, x, y, num_steps=20, verbose=0)
    train_members(model, x, y, members=[0.01], epochs=1)
    assert alive() <= before


def alive():
    """How many variables there are in this process."""
    gc.collect()
    return sum(issubclass(type(one), keras.Variable) for one in gc.get_objects())  # `isinstance` asks the object


@programs_only
def test_a_model_is_freed_with_its_programs():
    """What is kept for a model does not keep the model."""
    model = make()
    x, y = arrays(model)
    train_members(model, x, y, members=[0.01], epochs=1, validation_data=(x, y))
    seen = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert seen() is None


@programs_only
def test_what_cannot_be_one_program_says_why():
    """A training step of one's own, a loss scale: the reason names it, and asking for a program is an error."""

    class OwnStep(keras.Sequential):
        def train_step(self, *args):
            return super().train_step(*args)

    own = OwnStep([keras.Input((4,)), layers.Dense(1)])
    own.compile("sgd", "mse")
    scaled = make(optimizer=lambda: keras.optimizers.LossScaleOptimizer(sgd()))
    for model, told in ((own, "train_step"), (scaled, "oss scaling")):
        x, y = arrays(model)
        runs = train_members(model, x, y, members=[0.01, 0.02], epochs=1)
        assert runs.engine == "fit"
        assert told in runs.reason
        assert np.isfinite(runs.losses).all()
        with pytest.raises(ValueError, match=told):
            train_members(model, x, y, members=[0.01], epochs=1, engine="vmap")
