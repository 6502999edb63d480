"""The records of the studies: packed, one JSON-lines file a task, by `studies/pack.py`."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from onecycle.comparison.packed import documents, read_packed

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "studies" / "pack.py"
LINES = sorted(ROOT.glob("studies/*/runs/*.jsonl"))
# What would become another number, text or order on a careless way there and back.
AWKWARD = {"z": [1, 1.0, -0.0, 0.1 + 0.2, 5e-324, 1e300, None], "a": "é \u2028 \n", "kind": {}}


@pytest.fixture(scope="module")
def pack():
    """The function `pack` of the script."""
    spec = importlib.util.spec_from_file_location("pack", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pack


@pytest.fixture
def study(tmp_path):
    """A study of two tasks, one with two comparisons, each record a file."""
    for name in ("b/grid/x_1.json", "b/main/x_10.json", "b/main/x_2.json", "a/y_0.json"):
        write(tmp_path, name, AWKWARD | {"name": name})
    return tmp_path


def write(study, name, record):
    """Write a single record."""
    path = study / "runs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")


def files(study):
    """Every file of a study's runs, with its bytes."""
    runs = study / "runs"
    return {path.relative_to(runs).as_posix(): path.read_bytes() for path in runs.rglob("*") if path.is_file()}


def test_each_task_becomes_one_file_of_a_line_for_each_record(pack, study):
    """The lines are sorted by file, the records are those of the single files, and these are gone."""
    singles = files(study)

    assert pack(study) == {"a": 1, "b": 3}

    assert sorted(path.name for path in (study / "runs").iterdir()) == ["a.jsonl", "b.jsonl"]
    lines = [json.loads(line) for line in files(study)["b.jsonl"].split(b"\n")[:-1]]
    assert [line["file"] for line in lines] == ["grid/x_1.json", "main/x_10.json", "main/x_2.json"]
    for line in lines:
        assert json.dumps(line["record"], indent=1).encode() == singles[f"b/{line['file']}"]
    assert list(documents(study / "runs" / "b" / "main")) == ["x_10.json", "x_2.json"]


def test_packing_again_changes_nothing(pack, study):
    """The second time there is nothing to pack."""
    pack(study)
    before = files(study)

    assert pack(study) == {}
    assert files(study) == before


def test_new_files_are_merged_into_the_packed_file(pack, study):
    """A file replaces the line of its name; the other lines stay."""
    pack(study)
    write(study, "b/main/x_2.json", "new")
    write(study, "b/main/x_3.json", "more")

    assert pack(study) == {"b": 2}
    assert read_packed(study / "runs" / "b.jsonl")[0] == {
        "grid/x_1.json": AWKWARD | {"name": "b/grid/x_1.json"},
        "main/x_10.json": AWKWARD | {"name": "b/main/x_10.json"},
        "main/x_2.json": "new",
        "main/x_3.json": "more",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a/y_1.json", b'{"cut', r"y_1\.json is not complete JSON"),
        ("a/y_1.json", b"[NaN]", "Out of range float values"),
        ("a.jsonl", b'{"file": "y_0.json", "rec', r"Line 1 of a\.jsonl: torn"),
        ("y_1.json", b"{}", r"belongs in the folder of its task.*y_1\.json"),
    ],
)
def test_what_cannot_be_packed_is_an_error_and_nothing_is_lost(name, content, message, pack, study):
    """Every file is still there, as it was."""
    (study / "runs" / name).write_bytes(content)
    before = files(study)
    with pytest.raises(ValueError, match=message):
        pack(study)
    assert files(study) == before


def test_files_that_are_no_records_stay(pack, study):
    """A record that was moved aside is neither packed nor removed."""
    (study / "runs" / "a" / "y_0.json.rejected").write_bytes(b"{")
    pack(study)
    assert sorted(files(study)) == ["a.jsonl", "a/y_0.json.rejected", "b.jsonl"]


def test_the_script_packs_the_studies_it_is_given(study):
    """It reports each task."""
    done = subprocess.run([sys.executable, SCRIPT, study], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{study.name}/runs/a.jsonl: 1 files packed",
        f"{study.name}/runs/b.jsonl: 3 files packed",
    ]


def test_committed_studies_have_no_single_records():
    """Every record under version control is packed."""
    listed = subprocess.run(["git", "ls-files", "studies"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout of git")
    assert not [name for name in listed.stdout.splitlines() if "/runs/" in name and not name.endswith(".jsonl")]


each_file = pytest.mark.parametrize("path", LINES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")


@each_file
def test_every_line_of_the_studies_is_whole(path):
    """Each line is a JSON object, and no two are the same."""
    lines = path.read_bytes().splitlines()

    assert {type(json.loads(line)) for line in lines} == {dict}
    assert len(set(lines)) == len(lines)


@each_file
def test_packed_records_are_sorted(path):
    """The lines of a packed file are in the order of the file names, of which none is repeated."""
    if not path.read_text(encoding="utf-8").startswith('{"file":'):
        pytest.skip("the study writes its records as lines of another form")
    records, problem = read_packed(path)

    assert problem == ""
    assert list(records) == sorted(records)
