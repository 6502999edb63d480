"""The command `onecycle report`."""

import json

import pytest
from render.html_page import Page
from render.sample_comparisons import COMPARISONS
from render.sample_cycles import CYCLES
from render.sample_range_tests import RANGE_TESTS

from onecycle.results import load


def test_command_needs_no_keras(python, tmp_path):
    """`onecycle report` writes the file from saved results without keras, matplotlib or scipy."""
    RANGE_TESTS["pretty"].save(tmp_path / "a.json")
    COMPARISONS["pretty"].save(tmp_path / "b.json")
    CYCLES["race"].save(tmp_path / "c.json")
    program = (
        "import sys; from onecycle.__main__ import main; code = main(['report', *sys.argv[1:], '--json']);"
        "print(code, sorted({'keras', 'matplotlib', 'scipy', 'tensorflow', 'jax'} & set(sys.modules)))"
    )
    out = tmp_path / "out.html"
    done = python(program, *(tmp_path / f"{name}.json" for name in "abc"), "-o", out)
    *output, last = done.stdout.strip().splitlines()
    assert last == "0 []"
    assert json.loads("\n".join(output)) == {
        "report": str(out), "bytes": out.stat().st_size, "results": ["RangeTest", "Comparison", "CycleReport"],
    }  # fmt: skip
    page = Page(out.read_text(encoding="utf-8"))
    assert page.tables["Every run"]
    assert page.tables["The cycle"]
    assert load(tmp_path / "b.json") == COMPARISONS["pretty"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.json", "-o", "out.html"], 2, "There is no file none.json"),
        (["torn.json", "-o", "out.html"], 1, "torn.json is not complete JSON"),
        (["sweep.json", "-o", "out.html"], 1, "sweep.json holds a sweep"),
        (["good.json", "-o", "good.json"], 2, "must end in .html"),
        (["good.json", "-o", "no/out.html"], 2, "There is no folder"),
        ([], 2, "Missing argument"),
    ],
)
def test_command_reports_errors(arguments, code, message, capsys, monkeypatch, tmp_path):
    """The exit code is 2 for wrong usage and 1 for a broken file, with one sentence, and nothing is written."""
    from onecycle.cli import run

    monkeypatch.chdir(tmp_path)
    RANGE_TESTS["three points"].save("good.json")
    (tmp_path / "torn.json").write_text('{"format": ')
    (tmp_path / "sweep.json").write_text('{"format": "onecycle-result", "version": 1, "type": "Sweep", "fields": {}}')
    assert run(["report", *arguments]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))
    load("good.json")
