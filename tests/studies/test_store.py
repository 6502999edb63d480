"""Records on disk: whole or not there, resumed, and never taken for another run's."""

import dataclasses
import importlib
import json
import os
import pickle
import runpy
import sys

import keras
import numpy as np
import pytest

from onecycle import compare
from onecycle._json import load as load_record
from onecycle.studies import runs
from onecycle.studies.identity import model_facts
from onecycle.studies.store import Store, slug

BUILT = []


def build():
    """A net of a few weights; counts how often it is made."""
    BUILT.append(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(40, 2)).astype("float32")
DATA = ((X[:32], X[:32, :1]), (X[32:], X[32:, :1]))
ARMS = {"plain": {}, "A cycle": {"max_learning_rate": 0.1}}


def compared(directory, *, arms=ARMS, make=build, data=DATA, **options):
    """A small comparison in that folder."""
    return compare(make, data, arms, **{"seeds": 2, "epochs": 1, "verbose": 0, "directory": directory, **options})


def files(directory):
    """The folder's files by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with all records, and its comparison."""
    directory = tmp_path_factory.mktemp("runs")
    return directory, compared(directory)


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the folder, for one test to spoil."""
    for name, content in files(finished[0]).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def of_records(comparison):
    """What was wrong with records; that some seconds do not compare on JAX, where few runs are made anew, is apart."""
    return [problem for problem in comparison.problems if "their seconds cannot be compared" not in problem]


def trained():
    """How many runs were made since the last call; each comparison builds one model more, to look at it."""
    count = len(BUILT) - 1
    BUILT.clear()
    return count


@pytest.fixture(autouse=True)
def _count_anew():
    BUILT.clear()


def test_each_run_has_its_record(finished):
    """One file a run, JSON for any parser, with a format version, and no name of the machine or its folders."""
    directory, comparison = finished
    assert sorted(files(directory)) == sorted(
        [f"{name}_{seed}.json" for name in ("plain", slug("A cycle")) for seed in (0, 1)]
    )
    for content in files(directory).values():
        document = json.loads(content, parse_constant=lambda name: pytest.fail(name))
        assert (document["format"], document["version"], document["type"]) == ("onecycle-result", 1, "RunRecord")
        assert os.uname().nodename not in content.decode()
        assert str(directory) not in content.decode()
    assert comparison.problems == ()


def test_started_again_nothing_is_run_and_nothing_changes(finished, folder):
    """With all records there, the same comparison comes back and no file is touched."""
    again = compared(folder)
    assert trained() == 0
    assert again == finished[1]
    assert files(folder) == files(finished[0])


def test_more_seeds_are_added_to_those_there(folder):
    """The number of seeds is no part of a run: only the new seed is run."""
    comparison = compared(folder, seeds=3)
    assert trained() == 2
    assert len(comparison.runs) == 6


def test_another_metric_or_target_needs_no_run(folder):
    """Records do not depend on what is asked of them."""
    comparison = compared(folder, metric="loss", target=1e9, margin=0.5)
    assert trained() == 0
    assert all(run["reached"] for run in comparison.runs)


def measured():
    """The same net with a metric that its records do not have."""
    model = build()
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def test_a_metric_that_is_new_is_not_one_of_the_records(folder):
    """By default one is compared that all runs have, and asking for the new one costs no run."""
    assert compared(folder, make=measured, seeds=3).metric == "val_loss"
    assert trained() == 2
    with pytest.raises(ValueError, match="`metric` must be one of loss, val_loss"):
        compared(folder, make=measured, seeds=4, metric="val_mae")
    assert trained() == 0


def test_what_is_missing_is_run_and_no_more(finished, folder):
    """One record lost, one run made; it is the same as before but for the time it took."""
    (folder / "plain_1.json").unlink()
    again = compared(folder)
    assert trained() == 1
    for run, before in zip(again.runs, finished[1].runs, strict=True):
        assert run["history"]["val_loss"] == pytest.approx(before["history"]["val_loss"], rel=1e-5)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"format": "onecycle-result", "version": 1, "type": "RunRe', b"\xff\xfe", b"[1, 2]", b"{}"]
)
def test_a_torn_file_is_reported_moved_aside_and_run_again(content, folder):
    """The warning and the comparison name it, its bytes are kept, and its run is made anew."""
    (folder / "plain_0.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"plain_0\.json.*moved to plain_0\.json\.rejected"):
        again = compared(folder)
    assert trained() == 1
    assert len(of_records(again)) == 1
    assert "plain_0.json" in again.summary()
    assert str(folder) not in again.summary()
    assert (folder / "plain_0.json.rejected").read_bytes() == content
    assert of_records(compared(folder)) == []


def test_every_cut_of_a_record_is_rejected(finished, folder):
    """However short a record was cut, it is not used."""
    store = Store(folder)
    whole = (folder / "plain_0.json").read_bytes()
    identity = json.loads(whole)["fields"]["identity"]
    assert store.read("plain", 0, identity) is not None
    for end in range(0, len(whole) - 2, len(whole) // 20):
        (folder / "plain_0.json").write_bytes(whole[:end])
        with pytest.warns(UserWarning, match="torn"):
            assert store.read("plain", 0, identity) is None


def test_earlier_rejected_files_are_kept(folder):
    """A second file moved aside does not replace the first."""
    for content in (b"1", b"2"):
        (folder / "plain_0.json").write_bytes(content)
        with pytest.warns(UserWarning, match="moved to"):
            compared(folder)
    assert (folder / "plain_0.json.rejected").read_bytes() == b"1"
    assert (folder / "plain_0.json.rejected.2").read_bytes() == b"2"


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


def test_records_of_other_settings_come_back_when_they_are_asked_for(folder):
    """A quick look with other settings costs nothing of what there was: neither is trained a second time."""
    before = files(folder)
    with pytest.warns(UserWarning, match="other settings"):
        compared(folder, epochs=2)
    assert trained() == 4
    for epochs in (1, 2, 1):
        with pytest.warns(UserWarning, match="other settings"):
            comparison = compared(folder, epochs=epochs)
        assert trained() == 0
        assert {len(run["steps"]) for run in comparison.runs} == {epochs}
    assert {name: content for name, content in files(folder).items() if name.endswith(".json")} == before


def test_two_comparisons_in_one_folder_do_not_cost_each_other_a_record(folder):
    """A record of other settings, there since this comparison began, is laid aside, not written over."""
    store = Store(folder)
    mine = load_record(folder / "plain_0.json")
    for record in (dataclasses.replace(mine, identity="another"), mine, mine):
        store.write(record)
    for identity in ("another", mine.identity):
        with pytest.warns(UserWarning, match="other settings"):
            assert store.read("plain", 0, identity).identity == identity


def test_a_record_that_was_edited_or_torn_while_laid_aside_is_not_used(folder):
    """What comes back is looked at as if it had never been away; whatever it calls itself, it stays in the folder."""
    with pytest.warns(UserWarning, match="other settings"):
        compared(folder, epochs=2)
    (aside,) = folder.glob("plain_0.json.*")
    aside.write_bytes(aside.read_bytes()[:50])
    (folder / "plain_1.json").write_text(
        (folder / "plain_1.json").read_text().replace('"identity": "', '"identity": "../')
    )
    trained()
    with pytest.warns(UserWarning, match="moved to"):
        compared(folder)
    assert trained() == 1
    assert (folder / f"{aside.name}.rejected").exists()
    assert (folder / "plain_1.json.rejected").exists()


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


def test_a_record_in_anothers_place_is_not_used(folder):
    """A record copied over another run's file is foreign there."""
    (folder / "plain_0.json").write_bytes((folder / "plain_1.json").read_bytes())
    with pytest.warns(UserWarning, match="other settings"):
        compared(folder)
    assert trained() == 1


def test_strangers_are_reported_and_left_alone(folder):
    """A file of no run of this comparison is named, unread and untouched."""
    (folder / "notes.json").write_text("mine")
    comparison = compared(folder, seeds=1)
    assert trained() == 0
    assert [text.split()[0] for text in comparison.problems] == [
        f"{slug('A cycle')}_1.json",
        "notes.json",
        "plain_1.json",
    ]
    assert (folder / "notes.json").read_text() == "mine"


def test_runs_that_ended_before_an_error_are_kept(tmp_path):
    """A comparison that fails half-way leaves the records of what it had finished."""

    def broken():
        raise OSError("no more")

    arms = {"first": {}, "second": {"callbacks": broken}}
    with pytest.raises(RuntimeError, match="'second' with seed 0"):
        compared(tmp_path, arms=arms)
    assert list(files(tmp_path)) == ["first_0.json"]


def test_names_make_different_files():
    """Names that differ only in what a file name may not have get different files."""
    names = ["a b", "a-b", "A b", "a/b", "a  b", "é", "ü"]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("a-b") == "a-b"
    assert all("/" not in slug(name) and len(slug("x" * 300)) < 100 for name in names)


def test_a_comparison_pickles(finished):
    """Results may travel between processes."""
    assert pickle.loads(pickle.dumps(finished[1])) == finished[1]
