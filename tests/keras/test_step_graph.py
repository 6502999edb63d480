"""Tests of training steps as graphs of PyTorch against Keras' own steps, for many kinds of models."""

import keras
import numpy as np
import pytest
from oracles import reading, states

import onecycle
from onecycle.engine import programs, train_members
from onecycle.finding import compiled_ramp

layers = keras.layers
pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="only PyTorch has graphs of single steps")
ROWS, BATCH, EPOCHS = 22, 8, 2


def dense():
    """Return layers: a layer with a regularizer."""
    return [keras.Input((6,)), layers.Dense(8, "relu", kernel_regularizer="l2"), layers.Dense(1)]


def normalized():
    """Return layers: BatchNormalization and dropout."""
    return [keras.Input((6,)), layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(1)]


def convolutional():
    """Return layers: a convolution, pooling and a constraint."""
    body = [layers.Reshape((6, 1)), layers.Conv1D(3, 3, activation="gelu"), layers.MaxPooling1D()]
    return [keras.Input((6,)), *body, layers.Flatten(), layers.Dense(1, kernel_constraint="non_neg")]


def recurrent():
    """Return layers: a recurrent layer and a regularizer of outputs."""
    return [keras.Input((6,)), layers.Reshape((3, 2)), layers.GRU(4), layers.Dense(1, activity_regularizer="l1")]


def attentive():
    """Return a model with an embedding, a mask and attention."""
    tokens = keras.Input((6,))
    embedded = layers.Embedding(9, 4, mask_zero=True)(tokens)
    attended = layers.MultiHeadAttention(2, 2)(embedded, embedded)
    return keras.Model(tokens, layers.Dense(1)(layers.GlobalAveragePooling1D()(attended)))


def frozen():
    """Return layers: layers that are not trained."""
    body = [keras.Input((6,)), layers.Dense(8, trainable=False), layers.BatchNormalization(trainable=False)]
    return [*body, layers.Dense(1)]


SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam
CASES = {
    "dense": (dense, lambda: SGD(0.05, momentum=0.9), {}),
    "nesterov": (dense, lambda: SGD(0.05, momentum=0.9, nesterov=True, clipnorm=0.5), {}),
    "normalized": (normalized, lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1), {}),
    "convolutional": (convolutional, lambda: Adam(0.05, use_ema=True, ema_momentum=0.9), {}),
    "recurrent": (recurrent, lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, global_clipnorm=1.0), {}),
    "attentive": (attentive, lambda: Adam(0.01), {}),
    "frozen": (frozen, lambda: keras.optimizers.Lion(0.01), {}),
    "weights": (dense, lambda: SGD(0.05), {"sample_weight": np.linspace(0, 2, ROWS, dtype="float32")}),
}


def make(body, optimizer):
    """Return a compiled model whose loss, metrics and optimizer are built."""
    keras.utils.set_random_seed(1)
    built = body()
    model = built if isinstance(built, keras.Model) else keras.Sequential(built)
    model.compile(optimizer(), loss="mse", metrics=["mae"], weighted_metrics=["mse"])
    x, y = arrays(model)
    model.fit(x[:BATCH], y[:BATCH], verbose=0)  # builds what the first batch builds
    return model


def arrays(model):
    """Return inputs and targets for a model."""
    random = np.random.default_rng(0)
    x = (
        random.integers(0, 9, (ROWS, 6))
        if isinstance(model.layers[1], layers.Embedding)
        else random.normal(size=(ROWS, 6))
    )
    return x.astype("float32"), random.normal(size=(ROWS, 1)).astype("float32")


@pytest.mark.parametrize("case", CASES)
def test_a_graph_trains_as_fit_does(case):
    """Losses, metrics, validation and the last weights are those of `fit`, with a short last batch in each epoch."""
    body, optimizer, data = CASES[case]
    model = make(body, optimizer)
    x, y = arrays(model)
    before = states.of_model(model)
    runs = train_members(
        model, x, y, members=[(0.02, None, 3)], epochs=EPOCHS, batch_size=BATCH, validation_data=(x, y),
        weights=True, engine="scan", **data,
    )  # fmt: skip
    assert states.difference(before, states.of_model(model)) == []
    in_order = reading.in_program_order((x, y, *data.values()), seed=3, batch_size=BATCH, epochs=EPOCHS)
    model.optimizer.learning_rate = 0.02
    keras.utils.set_random_seed(3)
    history = model.fit(**in_order, epochs=EPOCHS, validation_data=(x, y), validation_freq=EPOCHS, verbose=0).history
    for name in ("loss", "mae", "mse"):
        np.testing.assert_allclose(runs.metrics[name][0], history[name], rtol=2e-5)
    for found, expected in zip(runs.weights[0], model.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(runs.validation["mae"][0, 0], history["val_mae"][-1], rtol=1e-4)


class Doubling(layers.Layer):
    """A layer of a user's, which counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return 2 * x if self.calls % 2 else x


def huber(y, predicted):
    """Return a loss that is not of Keras."""
    return keras.ops.mean(keras.ops.abs(y - predicted), axis=-1)


REFUSED = {
    "layer": (lambda: [Doubling(), layers.Dense(1)], {}, "Doubling"),
    "lambda": (lambda: [layers.Lambda(lambda x: 2 * x), layers.Dense(1)], {}, "Lambda"),
    "activation": (lambda: [layers.Dense(1, activation=lambda x: 2 * x)], {}, "lambda"),
    "seed": (lambda: [layers.Dropout(0.5, seed=1), layers.Dense(1)], {}, "cannot be traced"),
    "accumulation": (lambda: [layers.Dense(1)], {"gradient_accumulation_steps": 2}, "cannot be traced"),
    "loss": (lambda: [layers.Dense(1)], {}, "huber"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_graph_might_miss_uses_fit(case, monkeypatch):
    """Code of the user's, seeds that are read as numbers and accumulated gradients use `fit`, with the reason."""
    body, settings, reason = REFUSED[case]
    model = keras.Sequential([keras.Input((6,)), *body()])
    model.compile(SGD(0.01, **settings), loss=huber if case == "loss" else "mse")
    x, y = arrays(make(dense, SGD))
    monkeypatch.setattr(programs, "MIN_GRAPH_STEPS", 0)
    runs = train_members(model, x, y, members=[0.01], epochs=1, batch_size=BATCH)
    assert runs.engine == "fit"
    assert reason in runs.reason


def test_a_graph_with_other_numbers_is_refused(monkeypatch):
    """A graph whose first step differs from that of Keras is not used."""
    from onecycle.keras_support import step_graph

    original = step_graph.traced_graph

    def wrong(*arguments):
        graph = original(*arguments)
        return lambda *tensors: [1.01 * tensor if tensor.is_floating_point() else tensor for tensor in graph(*tensors)]

    monkeypatch.setattr(step_graph, "traced_graph", wrong)
    monkeypatch.setattr(programs, "MIN_GRAPH_STEPS", 0)
    model = make(dense, SGD)
    x, y = arrays(model)
    runs = train_members(model, x, y, members=[0.01], epochs=1, batch_size=BATCH)
    assert (runs.engine, runs.reason) == ("fit", "A traced training step has other results than that of Keras.")


def test_a_range_test_uses_a_graph(monkeypatch):
    """The function's losses are those of the test inside `fit`, and a second test or a short one traces nothing."""
    compiled = []
    original = compiled_ramp.compile_training
    monkeypatch.setattr(compiled_ramp, "compile_training", lambda *args: (compiled.append(1), original(*args))[1])
    model = make(normalized, lambda: SGD(0.05, momentum=0.9))
    x, y = arrays(model)
    options = {"num_steps": 30, "min_learning_rate": 1e-4, "max_learning_rate": 1e-1, "seed": 5, "verbose": 0}
    onecycle.find_learning_rate(model, x, y, batch_size=BATCH, **options)
    assert not compiled
    monkeypatch.setattr(programs, "MIN_GRAPH_STEPS", 30)
    found = [onecycle.find_learning_rate(model, x, y, batch_size=BATCH, **options).losses for _ in range(2)]
    assert len(compiled) == 1
    np.testing.assert_array_equal(*found)
    in_order = reading.in_program_order((x, y), seed=5, batch_size=BATCH, epochs=10)
    inside = onecycle.find_learning_rate(model, in_order["x"], steps_per_execution=None, **options).losses
    np.testing.assert_allclose(found[0], inside, rtol=1e-4)
