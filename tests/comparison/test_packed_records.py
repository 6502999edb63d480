"""Packed records: a comparison resumes from them as from single files, and never changes a packed file."""

import dataclasses
import json

import pytest
from oracles.counted import compared, files, trained

from onecycle.comparison.article.reproduction import copy_records
from onecycle.comparison.packed import documents
from onecycle.comparison.store import Store, slug
from onecycle.results import codec

pytestmark = pytest.mark.usefixtures("count_anew")


def write_lines(path, records):
    """Write a packed file by hand."""
    lines = [json.dumps({"file": name, "record": record}) for name, record in sorted(records.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def records(finished):
    """The records of the finished comparison as plain data, by their path in the folder of the task."""
    return {f"main/{name}": json.loads(content) for name, content in files(finished[0]).items()}


@pytest.fixture
def packed(records, tmp_path):
    """The packed file of a task, without any single file."""
    write_lines(tmp_path / "task.jsonl", records)
    return tmp_path / "task.jsonl"


@pytest.fixture
def main(tmp_path):
    """The folder of the comparison in the packed file."""
    return tmp_path / "task" / "main"


def test_a_comparison_resumes_from_the_packed_file_of_its_task(finished, packed, main):
    """A comparison with packed records makes no run, writes no file, and has the same result."""
    before = packed.read_bytes()

    assert compared(main) == finished[1]
    assert trained() == 0
    assert (files(main), packed.read_bytes()) == ({}, before)


def test_a_comparison_resumes_from_the_packed_file_of_its_folder(finished, records, main):
    """A folder outside a task can be packed too."""
    main.parent.mkdir()
    write_lines(main.with_name("main.jsonl"), {name.removeprefix("main/"): one for name, one in records.items()})

    assert compared(main) == finished[1]
    assert trained() == 0


def test_a_single_file_wins_over_a_packed_line(finished, packed, main):
    """The comparison uses the single file of a run that also has a packed line."""
    record = codec.load_object(finished[0] / "plain_0.json")
    main.mkdir(parents=True)
    codec.save_object(dataclasses.replace(record, seconds=[1234.5]), main / "plain_0.json")

    again = compared(main)

    assert trained() == 0
    assert again.of("plain")[0]["seconds"] == [1234.5]


def test_a_run_that_is_not_packed_is_made_as_a_single_file(records, packed, main):
    """A new run is written as a single file, and the packed file does not change."""
    del records["main/plain_1.json"]
    write_lines(packed, records)
    before = packed.read_bytes()

    compared(main)

    assert trained() == 1
    assert list(files(main)) == ["plain_1.json"]
    assert packed.read_bytes() == before


def of_a_suggestion(**fields):
    """A record that is a result, but not a run's."""
    return {"format": "onecycle-result", "version": 1, "type": "Suggestion", "fields": fields}


@pytest.mark.parametrize(
    "line",
    [
        b'{"file": "main/plain_0.json", "record": {"for',
        b"\xff\xfe",
        b"",
        b"[1, 2]",
        b'{"file": "main/plain_0.json"}',
        b'{"file": ["main/plain_0.json"], "record": {}}',
    ],
)
def test_a_torn_line_is_reported_and_its_run_is_made_again(line, packed, main):
    """The warning and the result name the line; the other lines are used, and the packed file is not changed."""
    lines = packed.read_bytes().splitlines()
    place = next(k for k, whole in enumerate(lines) if b"main/plain_0.json" in whole)
    packed.write_bytes(b"\n".join([*lines[:place], line, *lines[place + 1 :]]) + b"\n")
    check_one_run_is_made_again(packed, main, rf"Line {place + 1} of task\.jsonl: torn, .*\. Left")


UNUSABLE_RECORDS = {
    "no result": ({}, r"is not a onecycle result: .*\. It was left"),
    "damaged": (of_a_suggestion(rule="minimum"), r"is damaged: .*'rule'\. It was left"),
    "no run": (
        of_a_suggestion(learning_rate=0.1, reason=""),
        r"is a Suggestion, not the record of a run\. It was left",
    ),
    "another run": (None, r"was made with other settings .*\. It was left"),
}


@pytest.mark.parametrize("kind", UNUSABLE_RECORDS)
def test_a_foreign_record_is_reported_and_its_run_is_made_again(kind, records, packed, main):
    """A complete line whose record belongs to another run is reported and not used."""
    record, message = UNUSABLE_RECORDS[kind]
    foreign = records["main/plain_1.json"] if record is None else record
    write_lines(packed, records | {"main/plain_0.json": foreign})
    check_one_run_is_made_again(packed, main, r"main/plain_0\.json in task\.jsonl " + message)


def check_one_run_is_made_again(packed, main, message):
    """The comparison reports unusable lines without paths, and writes a single file beside the packed one."""
    before = packed.read_bytes()
    with pytest.warns(UserWarning, match=message):
        again = compared(main)

    assert trained() == 1
    assert "eft unchanged and not used" in again.summary()
    assert str(packed.parent) not in again.summary()
    assert list(files(main)) == ["plain_0.json"]
    assert packed.read_bytes() == before


def test_every_cut_of_a_line_is_rejected(records, tmp_path):
    """The record of a line that was cut anywhere is not used."""
    write_lines(tmp_path / "task.jsonl", {"plain_0.json": records["main/plain_0.json"]})
    whole = (tmp_path / "task.jsonl").read_bytes().rstrip()
    identity = records["main/plain_0.json"]["fields"]["identity"]
    assert Store(tmp_path / "task").read("plain", 0, identity) is not None
    for end in range(1, len(whole), len(whole) // 20):
        (tmp_path / "task.jsonl").write_bytes(whole[:end])
        with pytest.warns(UserWarning, match="torn"):
            assert Store(tmp_path / "task").read("plain", 0, identity) is None


def test_a_repeated_line_is_reported_and_not_used(records, packed, main):
    """Of two lines for one file the first is used."""
    other = records["main/plain_0.json"] | {"fields": {}}
    with packed.open("a") as file:
        file.write(json.dumps({"file": "main/plain_0.json", "record": other}) + "\n")

    with pytest.warns(UserWarning, match=r"Line 5 of task\.jsonl: torn, repeated"):
        compared(main)
    assert trained() == 0


def test_a_file_of_other_lines_is_reported_once(main):
    """A JSON-lines file of something else beside the folder costs one warning, not one for each line."""
    main.parent.mkdir()
    main.with_name("main.jsonl").write_text('{"loss": 0.5}\n' * 100)

    with pytest.warns(UserWarning, match="Left unchanged") as warned:
        compared(main)

    expected = (
        "Line 1 and 99 more of main.jsonl: torn, repeated, or not the record of a run. Left unchanged and not used."
    )
    assert [str(one.message) for one in warned if one.category is UserWarning] == [expected]


def test_packed_records_of_other_settings_are_used_again_with_those_settings(packed, main):
    """Runs with other settings become single files, and the packed records can be used again afterwards."""
    before = packed.read_bytes()
    with pytest.warns(UserWarning, match=r"4 records were made with other settings"):
        compared(main, epochs=2)
    assert trained() == 4
    with pytest.warns(UserWarning, match="4 records were made with other settings"):
        comparison = compared(main)
    assert trained() == 0
    assert {len(run["steps"]) for run in comparison.runs} == {1}
    assert packed.read_bytes() == before


def test_a_packed_record_that_is_set_aside_stays_and_is_replaced_by_a_file(records, packed, main):
    """A record that is set aside is named in the report, and the record made in its place is used from then on."""
    before = packed.read_bytes()
    store, identity = Store(main), records["main/plain_0.json"]["fields"]["identity"]
    found = store.read("plain", 0, identity)

    with pytest.warns(UserWarning, match=r"main/plain_0\.json in task\.jsonl was made from other data\. It was left"):
        store.set_aside("plain", 0, "was made from other data.")
    store.write(dataclasses.replace(found, seconds=[1234.5]))

    assert Store(main).read("plain", 0, identity).seconds == [1234.5]
    assert packed.read_bytes() == before


def test_unknown_packed_records_are_reported(records, packed, main):
    """A packed record of no run of this comparison is named; those of other comparisons of the task are not."""
    write_lines(packed, records | {"main/notes.json": "mine", "grid/other_0.json": "not here"})

    comparison = compared(main, seeds=1)

    assert trained() == 0
    names = [f"{slug('A cycle')}_1.json", "notes.json", "plain_1.json"]
    expected = [f"main/{name} in task.jsonl" for name in names]
    assert [problem.split(" belongs")[0] for problem in comparison.problems] == expected


def test_a_packed_record_is_lent_as_a_file(finished, packed, main):
    """A copied record has the bytes of the packed file, and a record that the destination has is not copied again."""
    side = main.with_name("side")
    copy_records(["plain"], main, side, 2)
    assert files(side) == {name: (finished[0] / name).read_bytes() for name in ("plain_0.json", "plain_1.json")}

    copy_records(["plain"], side, main, 2)
    assert files(main) == {}


def test_a_record_that_the_lender_lacks_is_no_silent_gap(packed, main):
    """Copying a record that does not exist is an error that names the missing file."""
    with pytest.raises(FileNotFoundError, match=r"plain_2\.json"):
        copy_records(["plain"], main, main.with_name("side"), 3)


def test_documents_are_read_from_lines_and_files_in_the_order_of_names(tmp_path):
    """`documents` prefers single files, applies its pattern, and leaves out other folders of the task."""
    write_lines(tmp_path / "task.jsonl", {"b_0.json": 1, "b_1.json": 2, "c_0.json": 3, "main/b_2.json": 4})
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "b_1.json").write_text("5")
    (tmp_path / "task" / "a_0.json").write_text("6")

    assert list(documents(tmp_path / "task").items()) == [
        ("a_0.json", 6), ("b_0.json", 1), ("b_1.json", 5), ("c_0.json", 3)
    ]  # fmt: skip
    assert documents(tmp_path / "task", "b_*.json") == {"b_0.json": 1, "b_1.json": 5}
    assert documents(tmp_path / "task" / "main") == {"b_2.json": 4}
    assert documents(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize("name", ["task.jsonl", "task/a_0.json"])
def test_documents_that_are_torn_are_an_error(name, tmp_path):
    """`documents` raises for a torn file or line, so an analysis never leaves a record out silently."""
    (tmp_path / "task").mkdir()
    (tmp_path / name).write_text("{")
    with pytest.raises(ValueError, match=name.rpartition("/")[2].replace(".", r"\.")):
        documents(tmp_path / "task")
