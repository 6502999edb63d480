"""A record is used where it was made from the same settings, data and weights, and nowhere else."""

import importlib
import runpy
import sys

import keras
import numpy as np
import pytest
from oracles.counted import BUILT, DATA, X, build, compared, trained

from onecycle.comparison import runs
from onecycle.comparison.identity import model_facts

pytestmark = pytest.mark.usefixtures("count_anew")


def wider():
    """Another model."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def faster():
    """The same net with another rate."""
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
def test_records_of_other_settings_are_never_used(change, folder):
    """Other epochs, batch size, model, rate, data or arm: every record is reported, moved aside and made anew."""
    with pytest.warns(UserWarning, match="other settings"):
        comparison = compared(folder, **change)
    assert len(comparison.problems) == 4
    assert len(list(folder.glob("*.json"))) == 4
    assert len(list(folder.iterdir())) == 8


BESIDE = {"data": 0.0, "build": 0.0}  # what functions read that their source does not show


def read_data(seed):
    """The data, moved by a number from elsewhere."""
    (x, y), held_out = DATA
    return (x + np.float32(BESIDE["data"] + seed), y), held_out


def read_build():
    """The net, whose weights come from elsewhere."""
    model = build()
    model.set_weights([np.full(weight.shape, BESIDE["build"]) for weight in model.get_weights()])
    return model


def beside(directory, **options):
    """A comparison of these."""
    return compared(directory, make=read_build, data=read_data, **options)


@pytest.mark.parametrize(("what", "told"), [("data", "data"), ("build", "initial weights")])
def test_records_from_other_data_or_weights_are_never_used(what, told, tmp_path, monkeypatch):
    """No source has changed, but what it reads: the records of every seed are reported, moved aside and made anew."""
    before = beside(tmp_path)
    monkeypatch.setitem(BESIDE, what, 1.0)
    with pytest.warns(UserWarning, match=f"was made from other {told} than there are now"):
        again = beside(tmp_path)

    assert len(list(tmp_path.glob("*.rejected"))) == 4
    assert len(again.problems) == 4
    assert again.runs[0]["identity"] == before.runs[0]["identity"]
    assert again.runs[0]["history"] != before.runs[0]["history"]
    assert beside(tmp_path).problems == ()


def test_only_one_seed_is_looked_at_where_nothing_has_changed(tmp_path):
    """To read records takes one model, as it ever did."""
    beside(tmp_path)
    BUILT.clear()
    assert beside(tmp_path).problems == ()
    assert trained() == 0


def test_records_of_another_machine_are_told_of_and_used(tmp_path, monkeypatch):
    """There the last bits of the weights may be others, so that no restart could ever use what a cluster has made."""
    monkeypatch.setattr(runs, "machine", lambda: {"cores": 1000})
    before = beside(tmp_path)
    monkeypatch.undo()
    monkeypatch.setitem(BESIDE, "build", 1e-9)
    again = beside(tmp_path)

    assert again.runs == before.runs
    assert len(again.problems) == 4
    assert "on another machine, and from other initial weights than there are here now; it is used" in again.problems[0]


def test_a_build_that_is_another_at_each_call_is_not_made_anew_for_ever(tmp_path):
    """Its weights say nothing of its records; that the seed does not settle them is a problem of its own."""
    draws = np.random.default_rng()

    def unsettled():
        model = build()
        model.set_weights([draws.normal(size=weight.shape) for weight in model.get_weights()])
        return model

    for _ in range(2):
        comparison = compared(tmp_path, make=unsettled)
        assert len(comparison.problems) == 2
        assert "did not have the same initial weights" in comparison.problems[0]
    assert not list(tmp_path.glob("*.rejected"))


OWN = """
import keras

class Base(keras.layers.Layer):
    power = {power}

class Own(Base):
    def call(self, x):
        return x**self.power
"""


@pytest.mark.parametrize("typed_in", [False, True])
def test_the_source_of_a_persons_own_layers_is_part_of_a_model(typed_in, tmp_path, monkeypatch):
    """Also that of a class which it inherits from, and what is known of one without a source."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def with_own(power):
        (tmp_path / "own_layers.py").write_text(OWN.format(power=power))
        monkeypatch.delitem(sys.modules, "own_layers", raising=False)
        own = runpy.run_module("own_layers")["Own"] if typed_in else importlib.import_module("own_layers").Own
        model = keras.Sequential([keras.Input((2,)), own(), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model_facts(model)["sources"]

    assert with_own(2) == with_own(2)
    assert with_own(2) != with_own(3)
    assert sorted(with_own(2)) == ["own_layers.Base", "own_layers.Own"]


def test_a_model_of_keras_own_layers_has_no_sources():
    """It keeps the identity that its records have; a model class of one's own has one."""

    class Subclassed(keras.Model):
        def call(self, x):
            return x

    subclassed = Subclassed()
    subclassed.compile("sgd", "mse")
    assert "sources" not in model_facts(build())
    assert [name.rpartition(".")[2] for name in model_facts(subclassed)["sources"]] == ["Subclassed"]
