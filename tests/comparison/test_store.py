"""Records on disk: written whole or not at all, resumed, and never used for another run."""

import dataclasses
import json
import os
import pickle

import pytest
from oracles.counted import build, compared, files, trained

from onecycle.comparison.store import Store, slug
from onecycle.results.codec import load_object as load_record

pytestmark = pytest.mark.usefixtures("count_anew")


def of_records(comparison):
    """The problems with records, without the one about times that cannot be compared on JAX."""
    return [problem for problem in comparison.problems if "their seconds cannot be compared" not in problem]


def test_each_run_has_its_record(finished):
    """Each run has one JSON file with a format version and without names of the machine or its folders."""
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
    """If all records exist, the comparison is the same and no file changes."""
    again = compared(folder)
    assert trained() == 0
    assert again == finished[1]
    assert files(folder) == files(finished[0])


def test_more_seeds_are_added_to_those_there(folder):
    """The number of seeds is not part of a run's identity: only the run of a new seed is made."""
    comparison = compared(folder, seeds=3)
    assert trained() == 2
    assert len(comparison.runs) == 6


def test_another_metric_or_target_needs_no_run(folder):
    """Records do not depend on the metric, the target or the margin of the comparison."""
    comparison = compared(folder, metric="loss", target=1e9, margin=0.5)
    assert trained() == 0
    assert all(run["reached"] for run in comparison.runs)


def measured():
    """The same model with a metric that its records do not have."""
    model = build()
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def test_a_metric_that_is_new_is_not_one_of_the_records(folder):
    """By default a metric that all runs have is compared, and a new metric is refused without a run."""
    assert compared(folder, make=measured, seeds=3).metric == "val_loss"
    assert trained() == 2
    with pytest.raises(ValueError, match="`metric` must be one of loss, val_loss"):
        compared(folder, make=measured, seeds=4, metric="val_mae")
    assert trained() == 0


def test_what_is_missing_is_run_and_no_more(finished, folder):
    """One missing record costs one run, which is the same as before except for its times."""
    (folder / "plain_1.json").unlink()
    again = compared(folder)
    assert trained() == 1
    for run, before in zip(again.runs, finished[1].runs, strict=True):
        assert run["history"]["val_loss"] == pytest.approx(before["history"]["val_loss"], rel=1e-5)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"format": "onecycle-result", "version": 1, "type": "RunRe', b"\xff\xfe", b"[1, 2]", b"{}"]
)
def test_a_torn_file_is_reported_moved_aside_and_run_again(content, folder):
    """An unusable file is named in a warning and in the result, keeps its bytes, and its run is made again."""
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
    """A record that was cut anywhere is not used."""
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


def test_records_of_other_settings_come_back_when_they_are_asked_for(folder):
    """Records of two settings are both kept in the folder, and neither is trained a second time."""
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
    """A record of other settings that appeared meanwhile is moved aside, not overwritten."""
    store = Store(folder)
    mine = load_record(folder / "plain_0.json")
    for record in (dataclasses.replace(mine, identity="another"), mine, mine):
        store.write(record)
    for identity in ("another", mine.identity):
        with pytest.warns(UserWarning, match="other settings"):
            assert store.read("plain", 0, identity).identity == identity


def test_a_record_that_was_edited_or_torn_while_laid_aside_is_not_used(folder):
    """A restored record is checked like any other, and no identity in a file leads out of the folder."""
    with pytest.warns(UserWarning, match="other settings"):
        compared(folder, epochs=2)
    (aside,) = folder.glob("plain_0.json.*")
    aside.write_bytes(aside.read_bytes()[:50])
    (folder / "plain_1.json").write_text(
        (folder / "plain_1.json").read_text().replace('"identity": "', '"identity": "../')
    )
    trained()
    with pytest.warns(UserWarning, match="records were made with other settings|is not complete JSON"):
        compared(folder)
    assert trained() == 1
    assert (folder / f"{aside.name}.rejected").exists()
    assert (folder / "plain_1.json.rejected").exists()


def test_a_record_in_anothers_place_is_not_used(folder):
    """A record copied over the file of another run is not used."""
    (folder / "plain_0.json").write_bytes((folder / "plain_1.json").read_bytes())
    with pytest.warns(UserWarning, match="other settings"):
        compared(folder)
    assert trained() == 1


def test_unknown_files_are_reported_and_left_unchanged(folder):
    """A file that belongs to no run of this comparison is reported and left unchanged."""
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
    """A comparison that fails keeps the records of the runs that had finished."""

    def broken():
        raise OSError("no more")

    arms = {"first": {}, "second": {"callbacks": broken}}
    with pytest.raises(RuntimeError, match="'second' with seed 0"):
        compared(tmp_path, arms=arms)
    assert list(files(tmp_path)) == ["first_0.json"]


def test_names_make_different_files():
    """Names that differ only in characters that a file name cannot have get different files."""
    names = ["a b", "a-b", "A b", "a/b", "a  b", "é", "ü"]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("a-b") == "a-b"
    assert all("/" not in slug(name) and len(slug("x" * 300)) < 100 for name in names)


def test_a_comparison_pickles(finished):
    """A record can be pickled, to be sent between processes."""
    assert pickle.loads(pickle.dumps(finished[1])) == finished[1]


def test_records_of_other_settings_are_one_report(finished, tmp_path):
    """Several records of other settings make one warning and one problem; a single one is named."""
    record = load_record(finished[0] / "plain_0.json")
    store = Store(tmp_path)
    for seed in range(4):
        store.write(dataclasses.replace(record, seed=seed, identity="before"))
    with pytest.warns(UserWarning, match="3 records were made with other settings") as warned, store.one_report():
        assert [store.read("plain", seed, "now") for seed in range(3)] == [None] * 3
    assert len(warned) == len(store.problems) == 1
    with pytest.warns(UserWarning, match=r"plain_3.json was made with other settings"), store.one_report():
        store.read("plain", 3, "now")
