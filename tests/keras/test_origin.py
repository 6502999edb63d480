"""The origin of results: date, model, optimizer, backend and hardware, for reports."""

import re

import keras
import numpy as np

import onecycle
from onecycle.results.runs import hardware_text

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X[:, :1]


def test_every_result_knows_its_origin(backend):
    """Range tests, races and cycles name the model, its optimizer, the backend and the machine, but no host."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name="net")
    model.compile(keras.optimizers.SGD(0.01), "mse")
    range_test = onecycle.find_learning_rate(model, X, Y, batch_size=16, seed=0, verbose=0)
    options = {"candidates": [0.01, 0.1], "validation_data": (X, Y), "verbose": 0}
    race = onecycle.race_learning_rates(model, X, Y, epochs=4, batch_size=16, **options)
    cycle = onecycle.fit_one_cycle(model, X, Y, epochs=1, max_learning_rate=range_test, verbose=0).onecycle
    for result in (range_test, race, cycle):
        assert list(result.origin) == ["date", "model", "optimizer", "backend", "hardware"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", result.origin["date"])
        assert result.origin["model"] == "net (Sequential, 5 weights)"
        assert result.origin["optimizer"] == "SGD"
        assert backend in result.origin["backend"]
        assert re.match(r"\d+ cores", result.origin["hardware"])


def test_hardware_names_accelerators_only():
    """A CPU is in the cores already; what a record does not know is left out."""
    machine = {"cores": 2, "processor": "x86_64", "system": "Linux", "devices": ["cpu:0", "gpu:0"]}
    assert hardware_text(machine) == "2 cores, x86_64, Linux, gpu:0"
    assert hardware_text({"cores": 4}) == "4 cores"
