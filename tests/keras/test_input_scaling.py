"""Tests of the hints about inputs that are clearly not standardized."""

import warnings

import keras
import numpy as np
import pytest

from onecycle import find_learning_rate, fit_one_cycle
from onecycle.keras_support.input_scaling import unscaled_inputs_message

pytestmark = pytest.mark.one_backend

RNG = np.random.default_rng(0)
REMEDY = "x = (x - x.mean(axis=0)) / x.std(axis=0)"


def network(*layers, shape=(4,)):
    """Return a compiled model with these layers first."""
    model = keras.Sequential([keras.Input(shape), *layers, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-6, momentum=0.9), "mse")
    return model


PIXELS = RNG.integers(0, 256, (32, 4, 4, 1)).astype("uint8")
WORDS = RNG.integers(0, 5000, (32, 6))
TABLE = RNG.normal([400.0, 0.5, 70.0, 12.0], [170.0, 0.1, 28.0, 7.0], (32, 4))
STANDARD = RNG.normal(size=(32, 4))
COUNTS = RNG.poisson([20.0, *[0.1] * 40], (32, 41)).astype("float32")  # of one frequent word and many others


def batches_of(x):
    """Return a PyDataset with these inputs in two batches."""

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            half = x[16 * index : 16 * (index + 1)].astype("float32")
            return half, np.zeros((16, 1), "float32")

    return Batches()


def network_of_columns(*names):
    """Return a compiled model with one input for each column."""
    inputs = {name: keras.Input((1,), name=name) for name in names}
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(list(inputs.values()))))
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    return model


RAW = {
    "raw pixels": (PIXELS, lambda: network(shape=(4, 4, 1))),
    "raw features": (TABLE, network),
    "raw features in a data set": (batches_of(TABLE), network),
    "raw columns in a dict": (
        {"a": TABLE[:, :1], "b": TABLE[:, 2].astype("float32")},
        lambda: network_of_columns("a", "b"),
    ),
    "raw features in a dict": ({"a": TABLE}, lambda: model_with_named_inputs(keras.layers.Dense(2))),
}
SCALED = {
    "standardized": (STANDARD, network),
    "pixels in [0, 1]": (PIXELS / 255, lambda: network(shape=(4, 4, 1))),
    "with a NaN": (np.where(STANDARD > 1, np.nan, STANDARD), network),
    "counts of words": (COUNTS, lambda: network(shape=(41,))),
    "one-hot": (np.eye(4)[RNG.integers(0, 4, 32)], network),
    "rescaled after augmentation": (
        PIXELS,
        lambda: network(
            *(keras.layers.RandomFlip(), keras.layers.RandomTranslation(0.1, 0.1), keras.layers.Rescaling(1 / 255)),
            shape=(4, 4, 1),
        ),
    ),
    "normalized by the second layer": (
        PIXELS,
        lambda: network(
            keras.layers.ZeroPadding2D(), keras.layers.Conv2D(2, 2), keras.layers.BatchNormalization(), shape=(4, 4, 1)
        ),
    ),
    "text": (np.array([["a b"], ["c"]]), network),
    "words": (WORDS, lambda: network(keras.layers.Embedding(5000, 2), shape=(6,))),
    "words and a table": (
        {"a": STANDARD, "words": WORDS},
        lambda: model_with_named_inputs(keras.layers.Dense(2), words=True),
    ),
    "rescaled": (PIXELS, lambda: network(keras.layers.Rescaling(1 / 255), shape=(4, 4, 1))),
    "normalised": (TABLE, lambda: network(keras.layers.Normalization(mean=TABLE.mean(0), variance=TABLE.var(0)))),
    "divided": ({"a": TABLE}, lambda: model_with_named_inputs(lambda x: x / 255.0)),
}


def model_with_named_inputs(first, *, words=False):
    """Return a compiled functional model with named inputs."""
    inputs = {"a": keras.Input((4,), name="a")}
    branches = [first(inputs["a"])]
    if words:
        inputs["words"] = keras.Input((6,), name="words", dtype="int32")
        branches.append(keras.layers.Flatten()(keras.layers.Embedding(5000, 2)(inputs["words"])))
    joined = keras.layers.Concatenate()(branches) if words else branches[0]
    model = keras.Model(inputs, keras.layers.Dense(1)(joined))
    model.compile(keras.optimizers.SGD(1e-6, momentum=0.9), "mse")
    return model


@pytest.mark.parametrize("case", RAW)
def test_raw_inputs_are_reported(case):
    """Inputs that are clearly not standardized are reported together with the remedy."""
    x, make = RAW[case]
    assert REMEDY in unscaled_inputs_message(make(), x, read=True)


@pytest.mark.parametrize("case", SCALED)
def test_scaled_inputs_are_not_reported(case):
    """Standardized inputs, token ids for an Embedding, and inputs that the model scales itself are not reported."""
    x, make = SCALED[case]
    assert unscaled_inputs_message(make(), x, read=True) is None


def test_fit_one_cycle_warns_once_about_raw_inputs():
    """`fit_one_cycle` warns once about raw inputs, at the line of the call, and not about standardized ones."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        for x in (TABLE, STANDARD):
            fit_one_cycle(network(), x, np.zeros((32, 1)), epochs=1, max_learning_rate=1e-6, verbose=0)
    assert [(warning.category, warning.filename) for warning in caught] == [(UserWarning, __file__)]
    assert "not standardized" in str(caught[0].message)


@pytest.mark.parametrize("dtype", ["float64", "Float64", "int64"])
def test_a_raw_table_of_pandas_is_reported(dtype):
    """A DataFrame with raw columns is reported, also with columns of text beside them and missing values."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(TABLE.round(), columns=list("abcd")).astype(dtype)
    if dtype == "Float64":
        table.loc[3, "b"] = pandas.NA
        table["d"] = "text"
    assert REMEDY in unscaled_inputs_message(network(), table)
    assert unscaled_inputs_message(network(), table * 0) is None


def test_the_range_test_names_raw_inputs():
    """Raw inputs are named by the result, in its summary and in the error where it suggests no learning rate."""
    x, y = 5000 + 1000 * RNG.normal(size=(2, 256, 4)).astype("float32")
    model = network()
    model.compile(keras.optimizers.Adam(), "mse")
    for data in ((x, y[:, :1]), (batches_of(x),)):
        result = find_learning_rate(model, *data, num_steps=20, max_learning_rate=1e-5, seed=0, verbose=0)
        assert REMEDY in result.hints[0]
        assert REMEDY in result.summary()
        with pytest.raises(ValueError, match="not standardized") as error:
            result.learning_rate  # noqa: B018 - raises
        assert "raise `max_learning_rate`" not in str(error.value)
    assert find_learning_rate(network(), x / 5000, y[:, :1], num_steps=20, seed=0, verbose=0).hints == ()


def test_no_peak_above_1_for_adam(monkeypatch):
    """Where only an absurd peak would stop a net on raw inputs from training, `fit_one_cycle` names the inputs."""
    monkeypatch.setattr("onecycle.training.peak.WIDER_STEPS", 200)
    x = 5000 + 1000 * RNG.normal(size=(512, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.warns(UserWarning, match="not standardized"), pytest.raises(ValueError, match="not standardized"):
        fit_one_cycle(model, x, x[:, :3].argmax(axis=1), epochs=2, seed=0, verbose=0)
    assert model.optimizer.iterations == 0
