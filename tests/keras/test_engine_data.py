"""`train_members` reads what `fit` reads: weights, nested inputs, data sets; and refuses what is no good."""

import keras
import numpy as np
import pytest
from oracles.members import BATCH, COMPILED, CYCLE, ROWS, arrays, each_engine, make, sgd

import onecycle
from onecycle.engine import train_members

layers = keras.layers


@each_engine
def test_weights_of_samples_and_classes_count(engine):
    """They multiply the losses, of classes too."""
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
def test_nested_data_without_shuffling(engine):
    """Dicts of inputs, two outputs, rows in their order."""
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
    history = _after(model, 0.01).fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history
    assert sorted(runs.metrics) == sorted(history)
    for name, column in history.items():
        np.testing.assert_allclose(runs.metrics[name][0], column, rtol=2e-5)


def _after(model, rate):
    model.optimizer.learning_rate = rate
    return model


@each_engine
def test_optional_inputs_and_scores_by_class(engine):
    """An input may be left out, and a metric that is a vector is left out of the tables."""
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


def test_data_that_are_no_arrays_go_through_fit():
    """A data set is read by `fit`, also one of unknown length, and the reason is told."""
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
    """Noise from the global random numbers, as many a person writes it."""

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's programs")
def test_global_random_numbers_are_those_of_the_seed():
    """A program would go on with those that it was traced with, so such a model goes through `fit`, and repeats."""
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
    ("options", "named"),
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
def test_bad_arguments_are_refused(options, named):
    """The error names the argument, and nothing has been built."""
    model = make()
    x, y = arrays(model)
    with pytest.raises(ValueError, match=named):
        train_members(model, **{"x": x, "y": y, "members": [0.1], "epochs": 1, **options})
    assert not model.optimizer.built
