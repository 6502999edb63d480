"""Tests of the compiled programs of `train_members`: which models can use them, and how long they are cached."""

import gc
import weakref

import keras
import numpy as np
import pytest
from oracles.members import BATCH, COMPILED, CYCLE, EPOCHS, ROWS, adam, arrays, dense, make, sgd

import onecycle
from onecycle.engine import choice, program_cache, train_members
from onecycle.engine.eligibility import reason_not_compiled

layers = keras.layers
programs_only = pytest.mark.skipif(not COMPILED, reason="PyTorch has no compiled programs")
jax_only = pytest.mark.skipif(keras.backend.backend() != "jax", reason="`fit` is tried only on JAX")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow programs change variables")
def test_tensorflow_programs_train_one_member_at_a_time():
    """TensorFlow programs change variables, so they cannot be vectorized or used under a distribution strategy."""
    import tensorflow as tf

    model = make()
    x, y = arrays(model)
    assert train_members(model, x, y, members=[0.01, 0.02], epochs=1).engine == "scan"
    with pytest.raises(ValueError, match="vectorized over members"):
        train_members(model, x, y, members=[0.01], epochs=1, engine="vmap")
    assert reason_not_compiled(model, tf.sparse.from_dense(x), y) == "the data is sparse, ragged or not numeric"
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        assert "distributed" in reason_not_compiled(make(), x, y)


@jax_only
def test_a_trial_of_fit_does_not_invalidate_the_start_state(monkeypatch):
    """JAX donates the arrays that `fit` trains on, and a program still trains correctly after such a trial."""
    monkeypatch.setattr(choice, "MIN_STEP_SECONDS", 0.0)
    monkeypatch.setattr(choice, "MIN_TRAINING_SECONDS", 0.0)
    monkeypatch.setattr(choice, "MAX_FIT_RATIO", 0.0)  # `fit` is never chosen
    model = make(dense, adam, metrics=["mae"])
    x, y = arrays(model)
    options = {"members": [0.01, 0.02], "epochs": EPOCHS, "batch_size": BATCH, "validation_data": (x, y)}
    expected = train_members(model, x, y, engine="scan", **options)
    found = train_members(model, x, y, **options)
    assert found.engine in COMPILED
    assert "with `fit`" in found.reason
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
    np.testing.assert_allclose(found.validation["mae"], expected.validation["mae"], rtol=1e-5)


@programs_only
def test_states_of_recurrent_layers_are_restored():
    """A layer with `stateful=True` has the same state after a range test as before."""
    model = keras.Sequential([keras.Input((3, 2), batch_size=BATCH), layers.LSTM(4, stateful=True), layers.Dense(1)])
    model.compile(sgd(), "mse")
    x = np.random.default_rng(0).normal(size=(ROWS, 3, 2)).astype("float32")
    model.predict(x, batch_size=BATCH, verbose=0)
    before = [np.array(keras.ops.convert_to_numpy(state)) for state in model.layers[0].states]
    onecycle.find_learning_rate(model, x, x[:, 0, :1], num_steps=20, batch_size=BATCH, verbose=0)
    for state, own in zip(model.layers[0].states, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(state), own)


@programs_only
def test_programs_are_reused():
    """A call with the same shapes compiles nothing, whatever its epochs, rates and seeds, until the next `compile`."""
    model = make()
    x, y = arrays(model)
    first = train_members(model, x, y, members=[0.01, 0.02], epochs=2, batch_size=BATCH, engine="scan")
    second = train_members(model, x, y, members=[(CYCLE, None, 7)], epochs=5, batch_size=BATCH, engine="scan")
    assert first.compile_seconds > 0
    assert second.compile_seconds == 0
    model.compile(sgd(), "mae")
    assert train_members(model, x, y, members=[0.01], epochs=1, batch_size=BATCH).compile_seconds > 0


@programs_only
def test_variables_held_by_programs_are_limited(monkeypatch):
    """Variables of an optimizer that a call built are freed beyond a limit, and further calls add none below it."""
    model = make(optimizer=adam)
    x, y = arrays(model)

    def train():
        onecycle.find_learning_rate(model, x, y, num_steps=20, verbose=0)
        train_members(model, x, y, members=[0.01], epochs=1, batch_size=BATCH)
        return count_variables()

    before = count_variables()
    monkeypatch.setattr(program_cache, "MAX_HELD_BYTES", 0)
    assert train() <= before
    monkeypatch.undo()
    assert train() == train()


@programs_only
def test_the_number_of_programs_is_limited(monkeypatch):
    """The program that was not used for longest is discarded, and is compiled again when it is needed."""
    monkeypatch.setattr(program_cache, "MAX_ENTRIES", 3)
    model = make()
    x, y = arrays(model)
    options = {"members": [0.01], "epochs": 1, "engine": "scan"}
    sizes = (8, 10, 8, 20, 40, 8, 10)
    compiled = [train_members(model, x, y, batch_size=size, **options).compile_seconds > 0 for size in sizes]
    assert compiled == [True, True, False, True, True, False, True]


def count_variables():
    """Return the number of Keras variables in this process."""
    gc.collect()
    # `isinstance` would run code of the objects, such as a proxy's `__class__`.
    return sum(issubclass(type(one), keras.Variable) for one in gc.get_objects())


@programs_only
def test_cached_programs_do_not_keep_their_model_alive():
    """A model with cached programs is freed when its last reference is deleted."""
    model = make()
    x, y = arrays(model)
    train_members(model, x, y, members=[0.01], epochs=1, validation_data=(x, y))
    reference = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert reference() is None


@programs_only
def test_models_that_cannot_be_compiled_use_fit():
    """The reason names an overridden `train_step` or loss scaling, and requesting a program raises with the same."""

    class CustomStep(keras.Sequential):
        def train_step(self, *args):
            return super().train_step(*args)

    custom = CustomStep([keras.Input((4,)), layers.Dense(1)])
    custom.compile("sgd", "mse")
    scaled = make(optimizer=lambda: keras.optimizers.LossScaleOptimizer(sgd()))
    for model, reason in ((custom, "train_step"), (scaled, "oss scaling")):
        x, y = arrays(model)
        runs = train_members(model, x, y, members=[0.01, 0.02], epochs=1)
        assert runs.engine == "fit"
        assert reason in runs.reason
        assert np.isfinite(runs.losses).all()
        with pytest.raises(ValueError, match=reason):
            train_members(model, x, y, members=[0.01], epochs=1, engine="vmap")
