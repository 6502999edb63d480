"""A range test restores the state of the layers of Keras that keep a special one."""

import keras
import numpy as np
import pytest
from keras import layers
from oracles import states

import onecycle

BATCH = 16
X = np.random.default_rng(0).normal(size=(6 * BATCH, 4)).astype("float32")


def adapted():
    """Return a `Normalization` that has seen the data."""
    layer = layers.Normalization()
    layer.adapt(X)
    return layer


def recurrent():
    """Return recurrent cells with dropout, each with a seed generator."""
    cells = [layers.GRUCell(4, dropout=0.2, seed=1), layers.LSTMCell(4, recurrent_dropout=0.3, seed=2)]
    return keras.Sequential([layers.Reshape((2, 2)), layers.RNN(cells)])


def jax_layer():
    """Return a function of JAX with a state that counts its calls."""
    import jax.numpy as jnp

    def call(params, state, rng, inputs, training):
        return inputs @ params["kernel"], {"calls": state["calls"] + 1.0}

    def init(rng, inputs):
        return {"kernel": jnp.ones((4, 4))}, {"calls": jnp.zeros(())}

    return layers.JaxLayer(call, init)


LAYERS = {
    "SpectralNormalization": lambda: layers.SpectralNormalization(layers.Dense(4)),
    "Normalization": adapted,
    "recurrent dropout": recurrent,
    "JaxLayer": jax_layer,
}


@pytest.mark.parametrize("name", LAYERS)
def test_state_of_layers_is_restored(name, backend):
    """The state is as before a range test as a function, one in `fit`, and one by the callback."""
    if name == "JaxLayer" and backend != "jax":
        pytest.skip("JAX only")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), LAYERS[name](), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    model.fit(X, X[:, :1], batch_size=BATCH, verbose=0)
    before = states.of_model(model)
    options = {"batch_size": BATCH, "num_steps": 24, "verbose": 0}
    onecycle.find_learning_rate(model, X, X[:, :1], **options)
    onecycle.find_learning_rate(model, X, X[:, :1], **options, steps_per_execution=1)
    assert states.difference(before, states.of_model(model)) == []
    finder = onecycle.LearningRateFinder(num_steps=24)
    model.fit(X, X[:, :1], batch_size=BATCH, epochs=5, verbose=0, callbacks=[finder])
    after = states.of_model(model)
    assert states.difference({"model": before["model"]}, {"model": after["model"]}) == []
