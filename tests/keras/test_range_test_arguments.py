"""Bad arguments of the range test are refused before any training, in Keras' form, and nothing has changed."""

import keras
import numpy as np
import pytest
from oracles import states

import onecycle


def model():
    """A compiled model."""
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


X, Y = np.ones((64, 4), "float32"), np.ones((64, 1), "float32")

RAMP = {
    "reversed": ({"min_learning_rate": 1.0, "max_learning_rate": 0.1}, "max_learning_rate"),
    "equal": ({"min_learning_rate": 0.1, "max_learning_rate": 0.1}, "max_learning_rate"),
    "zero": ({"min_learning_rate": 0.0}, "min_learning_rate"),
    "negative": ({"min_learning_rate": -1e-3}, "min_learning_rate"),
    "nan": ({"max_learning_rate": float("nan")}, "max_learning_rate"),
    "infinite": ({"max_learning_rate": float("inf")}, "max_learning_rate"),
    "text": ({"max_learning_rate": "1"}, "max_learning_rate"),
    "few steps": ({"num_steps": 9}, "num_steps"),
    "bool steps": ({"num_steps": True}, "num_steps"),
    "float steps": ({"num_steps": 100.0}, "num_steps"),
    "spacing": ({"spacing": "cubic"}, "spacing"),
    "rule": ({"rule": "best"}, "rule"),
    "no rule": ({"rule": None}, "rule"),
}
ONLY_OF_THE_FUNCTION = {
    "no repeats": ({"repeats": 0}, "repeats"),
    "half a repeat": ({"repeats": 1.5}, "repeats"),
    "batch size": ({"batch_size": 0}, "batch_size"),
    "seed": ({"seed": -1}, "seed"),
    "validation data": ({"validation_data": X}, "validation_data"),
    "steps per execution": ({"steps_per_execution": 0}, "steps_per_execution"),
    "no data": ({"x": None}, "`x`"),
    "empty data": ({"x": X[:0], "y": Y[:0]}, "`x`"),
}


@pytest.mark.parametrize("case", [*RAMP, *ONLY_OF_THE_FUNCTION])
def test_the_function_refuses_bad_arguments(case):
    """The error names the argument and what was received; model and optimizer are untouched."""
    options, name = {**RAMP, **ONLY_OF_THE_FUNCTION}[case]
    tested = model()
    before, attributes = states.of_model(tested), dict(vars(tested))
    arguments = {"x": X, "y": Y, "verbose": 0, **options}
    with pytest.raises(ValueError, match=name) as raised:
        onecycle.find_learning_rate(tested, arguments.pop("x"), arguments.pop("y"), **arguments)
    assert "eceived" in str(raised.value)
    assert states.difference(before, states.of_model(tested)) == []
    assert dict(vars(tested)) == attributes
    assert tested.train_function is None


@pytest.mark.parametrize("case", RAMP)
def test_the_callback_refuses_them_where_it_is_made(case):
    """`LearningRateFinder` raises the same errors in its constructor."""
    options, name = RAMP[case]
    with pytest.raises(ValueError, match=name):
        onecycle.LearningRateFinder(**options)


def test_a_model_must_be_compiled():
    """Without an optimizer there is nothing to test, and the error says what to call."""
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"compile\("):
        onecycle.find_learning_rate(plain, X, Y)


def test_data_sets_without_a_batch_are_refused():
    """An empty generator is an error and no result."""
    with pytest.raises(ValueError, match="at least one batch"):
        onecycle.find_learning_rate(model(), (pair for pair in ()), verbose=0)


def test_a_generator_is_refused_where_its_batches_would_be_missed():
    """It cannot be repeated, nor give its first batch to a model that has yet to make its weights."""
    with pytest.raises(ValueError, match="repeats"):
        onecycle.find_learning_rate(model(), ((X, Y) for _ in range(99)), repeats=2)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="weights"):
        onecycle.find_learning_rate(unbuilt, ((X, Y) for _ in range(99)))
    assert not unbuilt.built
