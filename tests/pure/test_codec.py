"""Saved results: which files are read, which are refused, and that saving never damages a file."""

import dataclasses
import json

import numpy as np
import pytest

from onecycle.results import RangeTest, StopReason, Suggestion, codec, load

HEAD = {"format": "onecycle-result", "version": 1}


@pytest.fixture
def result():
    """A range test."""
    rates = np.geomspace(1e-6, 10, 60)
    return RangeTest.from_losses(rates, np.linspace(2, 1, 60), StopReason.COMPLETED, versions={"keras": "3.15.1"})


def test_failed_save_leaves_the_old_file(result, tmp_path, monkeypatch):
    """A save that fails changes neither the old file nor the folder."""
    path = tmp_path / "test.json"
    result.save(path)
    before = path.read_bytes()

    def full(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        dataclasses.replace(result, seed=8).save(path)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_object_that_could_not_be_loaded_is_not_saved(result, tmp_path):
    """An object without a JSON form is an error, and no file is left."""
    with pytest.raises(TypeError, match="cannot be saved"):
        dataclasses.replace(result, versions={"keras": object()}).save(tmp_path / "test.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "torn"),
        ('{"format": "onecycle-result", "version": 1, "ty', "torn"),
        ("[1, 2]", "not a onecycle result"),
        ('{"format": "other"}', "not a onecycle result"),
        ('{"format": "onecycle-result", "version": 99, "type": "RangeTest"}', "newer onecycle.*upgrade"),
        ('{"format": "onecycle-result", "version": "1"}', "damaged"),
        ('{"format": "onecycle-result", "version": 1}', "damaged"),
        ('{"format": "onecycle-result", "version": 1, "type": "Unheard", "fields": {}}', "'Unheard'.*RangeTest"),
        ('{"format": "onecycle-result", "version": 1, "type": "RangeTest", "fields": {"x": 1}}', "damaged"),
        (
            json.dumps(HEAD | {"type": "Suggestion", "fields": {"learning_rate": 1, "reason": "."}}),
            "not a result by itself",
        ),
    ],
)
def test_torn_foreign_and_newer_files_are_errors(text, message, tmp_path):
    """The error names the file and what is wrong with it."""
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s)broken.json.*{message}"):
        load(path)


def test_binary_file_is_an_error(tmp_path):
    """A file that is not text gives the same kind of error."""
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match=r"binary\.json"):
        load(tmp_path / "binary.json")


def test_file_cut_anywhere_is_an_error(result, tmp_path):
    """Wherever a file is cut, it is torn; half a result is never returned."""
    path = tmp_path / "test.json"
    result.save(path)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, len(whole) // 40):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="torn"):
            load(path)


def test_null_without_a_mask_is_an_error(result, tmp_path):
    """A lost number is not read as NaN."""
    path = tmp_path / "test.json"
    result.save(path)
    document = json.loads(path.read_text())
    document["fields"]["losses"]["values"][3] = None
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="mask does not explain"):
        load(path)


def test_registered_class_can_be_saved(tmp_path, monkeypatch):
    """A decorator is enough; tuples, nested records, the key "kind" and single infinities are restored."""
    monkeypatch.setattr(codec, "_classes", dict(codec._classes))

    @codec.storable
    @dataclasses.dataclass(frozen=True)
    class Other:
        things: tuple
        table: dict

    saved = Other((1, (2.5, None)), {"kind": [float("-inf"), True], "inner": Suggestion(None, "«why»", np.inf)})
    codec.save_object(saved, tmp_path / "other.json")
    assert saved == codec.load_object(tmp_path / "other.json")


def test_unregistered_class_is_an_error(tmp_path):
    """A record of a class that is not registered could not be loaded."""

    @dataclasses.dataclass
    class Unregistered:
        x: int = 1

    with pytest.raises(TypeError, match="not registered"):
        codec.save_object(Unregistered(), tmp_path / "unregistered.json")
