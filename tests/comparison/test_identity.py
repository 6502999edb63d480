"""A record is used only if it was made with the same settings, data and initial weights."""

import importlib
import runpy
import sys

import keras
import numpy as np
import pytest
from oracles.counted import BUILT, DATA, X, build, compared, trained

from onecycle.comparison import runs
from onecycle.keras_support.identity import model_identity

pytestmark = pytest.mark.usefixtures("count_anew")


def wider():
    """Return another model."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def faster():
    """Return the same net with another learning rate."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.3), "mse")
    return model


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 2},
        {"batch_size": 16},
        {"make": wider},
        {"make": faster},
        {"data": ((X[:32], X[:32, 1:]), (X[32:], X[32:, 1:]))},
        {"arms": {"plain": {"optimizer": "adam"}, "A cycle": {"max_learning_rate": 0.2}}},
    ],
)
def test_records_with_other_settings_are_not_used(change, folder):
    """After a change of epochs, batch size, model, rate, data or arm, the records are reported, moved and replaced."""
    with pytest.warns(UserWarning, match="other settings"):
        comparison = compared(folder, **change)
    assert [text.partition(" (")[0] for text in comparison.problems] == ["4 records were made with other settings"]
    assert len(list(folder.glob("*.json"))) == 4
    assert len(list(folder.iterdir())) == 8


GLOBALS = {"data": 0.0, "build": 0.0}  # values that functions read although their source does not contain them


def read_data(seed):
    """Return the data, shifted by a global value."""
    (x, y), held_out = DATA
    return (x + np.float32(GLOBALS["data"] + seed), y), held_out


def read_build():
    """Return the net, with weights set to a global value."""
    model = build()
    model.set_weights([np.full(weight.shape, GLOBALS["build"]) for weight in model.get_weights()])
    return model


def compared_globals(directory, **options):
    """Return a comparison of this net and these data."""
    return compared(directory, make=read_build, data=read_data, **options)


@pytest.mark.parametrize(("name", "description"), [("data", "data"), ("build", "initial weights")])
def test_records_with_other_data_or_weights_are_not_used(name, description, tmp_path, monkeypatch):
    """If a global value has changed but no source, every record is reported, moved and replaced."""
    before = compared_globals(tmp_path)
    monkeypatch.setitem(GLOBALS, name, 1.0)
    with pytest.warns(UserWarning, match=f"was made from other {description} than there are now"):
        again = compared_globals(tmp_path)

    assert len(list(tmp_path.glob("*.rejected"))) == 4
    assert len(again.problems) == 4
    assert again.runs[0]["identity"] == before.runs[0]["identity"]
    assert again.runs[0]["history"] != before.runs[0]["history"]
    assert compared_globals(tmp_path).problems == ()


def test_unchanged_records_need_one_model(tmp_path):
    """If nothing has changed, only the start of one seed is checked, with a single model."""
    compared_globals(tmp_path)
    BUILT.clear()
    assert compared_globals(tmp_path).problems == ()
    assert trained() == 0


def test_records_of_another_machine_are_used(tmp_path, monkeypatch):
    """Records with other initial weights made on another machine are reported and used: the last bits may differ."""
    monkeypatch.setattr(runs, "machine_description", lambda: {"cores": 1000})
    before = compared_globals(tmp_path)
    monkeypatch.undo()
    monkeypatch.setitem(GLOBALS, "build", 1e-9)
    again = compared_globals(tmp_path)

    assert again.runs == before.runs
    assert len(again.problems) == 4
    assert "on another machine, and from other initial weights than there are here now. It is used" in again.problems[0]


def test_unseeded_build_does_not_invalidate_records(tmp_path):
    """Weights that differ at each call say nothing about the records. The comparison reports them as a problem."""
    draws = np.random.default_rng()

    def unseeded():
        model = build()
        model.set_weights([draws.normal(size=weight.shape) for weight in model.get_weights()])
        return model

    for _ in range(2):
        comparison = compared(tmp_path, make=unseeded)
        assert len(comparison.problems) == 2
        assert "did not have the same initial weights" in comparison.problems[0]
    assert not list(tmp_path.glob("*.rejected"))


LAYERS = """
import keras

class Base(keras.layers.Layer):
    power = {power}

class Power(Base):
    def call(self, x):
        return x**self.power
"""


@pytest.mark.parametrize("typed_in", [False, True])
def test_source_of_users_layers_is_part_of_identity(typed_in, tmp_path, monkeypatch):
    """The identity of a model contains the source of the user's classes and their bases, or their byte code."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def sources(power):
        (tmp_path / "user_layers.py").write_text(LAYERS.format(power=power))
        monkeypatch.delitem(sys.modules, "user_layers", raising=False)
        layer = runpy.run_module("user_layers")["Power"] if typed_in else importlib.import_module("user_layers").Power
        model = keras.Sequential([keras.Input((2,)), layer(), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model_identity(model)["sources"]

    assert sources(2) == sources(2)
    assert sources(2) != sources(3)
    assert sorted(sources(2)) == ["user_layers.Base", "user_layers.Power"]


def test_built_in_layers_have_no_sources():
    """Only the user's classes are part of the identity, so that models of built-in layers keep theirs."""

    class Subclassed(keras.Model):
        def call(self, x):
            return x

    subclassed = Subclassed()
    subclassed.compile("sgd", "mse")
    assert "sources" not in model_identity(build())
    assert [name.rpartition(".")[2] for name in model_identity(subclassed)["sources"]] == ["Subclassed"]
