"""Tests of how `find_learning_rate` and `LearningRateFinder` refuse bad arguments."""

import keras
import numpy as np
import pytest
from oracles import states

import onecycle

pytestmark = pytest.mark.one_backend


def linear_model():
    """Return a compiled linear model."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


X, Y = np.ones((64, 4), "float32"), np.ones((64, 1), "float32")

COMMON = {
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
FUNCTION_ONLY = {
    "no repeats": ({"repeats": 0}, "repeats"),
    "half a repeat": ({"repeats": 1.5}, "repeats"),
    "batch size": ({"batch_size": 0}, "batch_size"),
    "seed": ({"seed": -1}, "seed"),
    "validation data": ({"validation_data": X}, "validation_data"),
    "steps per execution": ({"steps_per_execution": 0}, "steps_per_execution"),
    "no data": ({"x": None}, "`x`"),
    "empty data": ({"x": X[:0], "y": Y[:0]}, "`x`"),
}


@pytest.mark.parametrize("case", [*COMMON, *FUNCTION_ONLY])
def test_function_refuses_bad_arguments(case):
    """The error names the argument and the value received, and the model and the optimizer are unchanged."""
    options, name = {**COMMON, **FUNCTION_ONLY}[case]
    model = linear_model()
    before, attributes = states.of_model(model), dict(vars(model))
    arguments = {"x": X, "y": Y, "verbose": 0, **options}
    with pytest.raises(ValueError, match=name) as raised:
        onecycle.find_learning_rate(model, arguments.pop("x"), arguments.pop("y"), **arguments)
    assert "eceived" in str(raised.value)
    assert states.difference(before, states.of_model(model)) == []
    assert dict(vars(model)) == attributes
    assert model.train_function is None


@pytest.mark.parametrize("case", COMMON)
def test_callback_refuses_bad_arguments(case):
    """The constructor of `LearningRateFinder` raises the same errors."""
    options, name = COMMON[case]
    with pytest.raises(ValueError, match=name):
        onecycle.LearningRateFinder(**options)


def test_model_must_be_compiled():
    """A model that is not compiled is refused, and the error names `compile`."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"compile\("):
        onecycle.find_learning_rate(model, X, Y)


def test_data_without_a_batch_is_refused():
    """A generator that yields nothing is refused."""
    with pytest.raises(ValueError, match="at least one batch"):
        onecycle.find_learning_rate(linear_model(), (pair for pair in ()), verbose=0)


def test_generator_is_refused_if_batches_would_be_lost():
    """A generator is refused with repeats, and with a model whose weights have to be built from a batch."""
    with pytest.raises(ValueError, match="repeats"):
        onecycle.find_learning_rate(linear_model(), ((X, Y) for _ in range(99)), repeats=2)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="weights"):
        onecycle.find_learning_rate(unbuilt, ((X, Y) for _ in range(99)))
    assert not unbuilt.built
