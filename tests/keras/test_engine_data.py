"""Tests of the data that `train_members` accepts, and of its error messages."""

import keras
import numpy as np
import pytest
from oracles.members import BATCH, COMPILED, CYCLE, ROWS, arrays, each_engine, make, sgd

import onecycle
from onecycle.engine import train_members

layers = keras.layers


@each_engine
def test_sample_and_class_weights_scale_the_losses(engine):
    """Losses are proportional to the weights of rows and of classes."""
    model = make(loss="binary_crossentropy")
    x, _ = arrays(model)
    y = (x[:, :1] > 0).astype("float32")
    options = {"members": [0.0], "epochs": 1, "batch_size": ROWS, "engine": engine}
    plain = train_members(model, x, y, **options).losses[0, 0]
    by_class = train_members(model, x, y, class_weight={0: 3.0, 1: 3.0}, **options).losses[0, 0]
    by_sample = train_members(model, x, y, sample_weight=np.full(ROWS, 2.0), **options).losses[0, 0]
    assert by_class == pytest.approx(3 * plain, rel=1e-5)
    assert by_sample == pytest.approx(2 * plain, rel=1e-5)


@each_engine
def test_nested_data_without_shuffling_equal_fit(engine):
    """Metrics equal those of `fit` for a dict of inputs and two outputs, with the rows in their order."""
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    joined = layers.Concatenate()([one, two])
    model = keras.Model(
        {"one": one, "two": two}, [layers.Dense(1, name="a")(joined), layers.Dense(2, name="b")(joined)]
    )
    model.compile(sgd(), loss=["mse", "mae"], metrics=[["mae"], ["mse"]])
    rng = np.random.default_rng(0)
    x = {"one": rng.normal(size=(ROWS, 2)), "two": rng.normal(size=(ROWS, 3))}
    y = [rng.normal(size=(ROWS, 1)), rng.normal(size=(ROWS, 2))]
    runs = train_members(model, x, y, members=[0.01], epochs=2, batch_size=BATCH, shuffle=False, engine=engine)
    history = _with_rate(model, 0.01).fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history
    assert sorted(runs.metrics) == sorted(history)
    for name, column in history.items():
        np.testing.assert_allclose(runs.metrics[name][0], column, rtol=2e-5)


def _with_rate(model, rate):
    model.optimizer.learning_rate = rate
    return model


@pytest.mark.long
@each_engine
def test_optional_inputs_and_vector_metrics(engine):
    """An optional input may be None, and a metric with one value per class is left out of the tables."""
    given, left_out = keras.Input((4,)), keras.Input((4,), optional=True)
    model = keras.Model([left_out, given], layers.Dense(3, "softmax")(given))
    model.compile(sgd(), "categorical_crossentropy", metrics=["accuracy", keras.metrics.F1Score()])
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    y = np.eye(3, dtype="float32")[np.argmax(x[:, :3], axis=1)]
    runs = train_members(
        model, [None, x], y, members=[0.1], epochs=2, batch_size=BATCH, validation_data=([None, x], y), engine=engine
    )
    assert sorted(runs.metrics) == sorted(runs.validation) == ["accuracy", "loss"]
    assert runs.losses[0, -1] < runs.losses[0, 0]


@pytest.mark.long
def test_data_sets_use_fit():
    """Data sets, also of unknown length, are trained on by `fit`, and the reason is a sentence."""
    import tensorflow as tf

    model = make()
    x, y = arrays(model)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
    for data in (dataset, dataset.filter(lambda *batch: True)):
        runs = train_members(model, data, members=[0.01, CYCLE], epochs=2)
        assert (runs.engine, runs.losses.shape) == ("fit", (2, 10))
        assert runs.reason.endswith(".")
    if COMPILED:
        with pytest.raises(ValueError, match="arrays"):
            train_members(model, dataset, members=[0.01], epochs=1, engine="scan")


class Noise(layers.Layer):
    """Noise from the global random numbers, a common way to write such a layer."""

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow programs capture it")
def test_models_that_draw_global_random_numbers_use_fit():
    """A program would capture the random state of its trace, so such a model uses `fit` and its runs repeat exactly."""
    model = make(lambda: [keras.Input((4,)), layers.Dense(4), Noise()])
    x, y = arrays(model)
    options = {"members": [0.01], "epochs": 1, "batch_size": BATCH}
    runs = [train_members(model, x, y, **options) for _ in range(2)]
    assert runs[0].engine == "fit"
    assert "global random numbers" in runs[0].reason
    np.testing.assert_array_equal(runs[0].losses, runs[1].losses)
    with pytest.raises(ValueError, match="global random numbers"):
        train_members(model, x, y, engine="scan", **options)
    tests = [onecycle.find_learning_rate(model, x, y, num_steps=20, seed=1, verbose=0) for _ in range(2)]
    np.testing.assert_array_equal(tests[0].losses, tests[1].losses)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"members": []}, "members"),
        ({"members": [-1.0]}, "learning_rate"),
        ({"members": [(0.1, 1.0)]}, "momentum"),
        ({"members": [(0.1, None, -1)]}, "seed"),
        ({"epochs": 0}, "epochs"),
        ({"engine": "fast"}, "engine"),
        ({"validate": "never"}, "validate"),
        ({"x": ((np.ones((1, 4)), np.ones((1, 1))) for _ in range(3)), "y": None}, "generator"),
    ],
)
def test_invalid_arguments_raise(options, argument):
    """The error names the argument, and the optimizer is not built."""
    model = make()
    x, y = arrays(model)
    with pytest.raises(ValueError, match=argument):
        train_members(model, **{"x": x, "y": y, "members": [0.1], "epochs": 1, **options})
    assert not model.optimizer.built
