"""The report as a file: complete, independent of other files, and safe against hostile names. No browser is needed."""

import base64
import dataclasses
import gzip
import hashlib
import re
import sys

import numpy as np
import pytest
from render.html_page import Page
from render.sample_comparisons import COMPARISONS
from render.sample_cycles import CYCLES
from render.sample_range_tests import RANGE_TESTS
from render.sample_results import HOSTILE, HOSTILE_NAMES, RESULTS, harmless_results, hostile_results

from onecycle.report import write_report
from onecycle.results import Result

EACH = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)


def written(results, folder, **options):
    """Return the report on these results, as text and parsed."""
    path = folder / "report.html"
    write_report(results, path, **options)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


@EACH
def test_every_result_is_a_complete_page(result, tmp_path):
    """Tags match, ids are unique and references exist, nothing is loaded, and the file is smaller than 6 MB."""
    result.to_html(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert set(page.attributes("aria-controls", "aria-labelledby", "for")) <= set(ids)
    assert all(link.startswith(("#", "data:,")) for link in page.attributes("href", "src", "action", "data"))
    assert {link[1:] for link in page.attributes("href") if link.startswith("#")} <= set(ids)
    assert len(text.encode()) < 6e6
    assert page.figures
    assert ("html", {"lang": "en"}) in page.elements


def test_only_our_scripts_may_run(tmp_path):
    """The policy forbids loading anything, and names each script by its hash."""
    _, page = written([RANGE_TESTS["pretty"]], tmp_path)
    policies = [attributes for _, attributes in page.elements if "http-equiv" in attributes]
    assert [policy["http-equiv"] for policy in policies] == ["Content-Security-Policy"]
    policy = policies[0]["content"]
    plotly = gzip.decompress(base64.b64decode(page.scripts[1])).decode()
    codes = [plotly, *page.scripts[2:]]
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in codes]
    assert policy.startswith("default-src 'none';")
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_names_are_text_and_never_markup(tmp_path):
    """With hostile names of arms, rules, optimizers, versions and files, the page has the same elements as without."""
    text, page = written(hostile_results(), tmp_path, sources=[HOSTILE, *HOSTILE_NAMES, HOSTILE])
    _, harmless = written(harmless_results(), tmp_path)
    assert len(page.scripts) == len(harmless.scripts) == 5
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in harmless.elements}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name == "autofocus"}
    assert "<script>alert" not in text
    assert "\u2028" not in page.scripts[0]
    assert HOSTILE in [row[0] for row in page.tables["Every run"]]
    shown = [trace["name"] for trace in page.figures["figure-0-0"]["views"][0]["traces"]]
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert not [name for name in shown if "<" in name]


def test_table_of_a_range_test_is_exact(tmp_path):
    """Rates, losses and smoothed losses are on the page with all digits."""
    result = RANGE_TESTS["repeats"]
    _, page = written([result], tmp_path)
    rows = page.tables["Every step of the range test"][1:]
    values = np.asarray([[np.nan if cell == "–" else cell for cell in row] for row in rows], dtype=float)
    expected = [np.arange(200), result.learning_rates, *result.losses, result.smoothed]
    np.testing.assert_array_equal(values, np.stack(expected, axis=1))


def test_tables_of_a_comparison_are_exact(tmp_path):
    """Every run, mean, difference and verdict is on the page with all digits."""
    result = COMPARISONS["pretty"]
    _, page = written([result], tmp_path)
    runs = page.tables["Every run"]
    final = {(row[0], row[1]): row[runs[0].index("final")] for row in runs[1:]}
    assert final == {(run["arm"], run["seed"]): run["final"] for run in result.runs}
    seconds = {(row[0], row[1]): row[runs[0].index("seconds to target")] for row in runs[1:]}
    assert seconds == {(run["arm"], run["seed"]): run["seconds_to_target"] for run in result.runs}
    means = {(row[0], row[1]): row[2] for row in page.tables["val_accuracy after each epoch"][1:]}
    assert means == {(a, n + 1): mean for a in result.arms for n, mean in enumerate(result.curves[a]["mean"])}
    seeds = page.tables["Each seed's difference to plain; for times the ratio"]
    for row in seeds[1:]:
        for measure, value in zip(seeds[0][2:], row[2:], strict=True):
            assert value == result.verdicts[row[0]][measure].differences[int(row[1])]
    verdicts = page.tables["Every verdict, against plain, with the 95 % interval for both arms together"][1:]
    effects = {(row[0], row[1].removesuffix(" (ratio)")): row[3] for row in verdicts}
    assert effects == {(arm, m): v.effect for arm, of in result.verdicts.items() for m, v in of.items()}


def test_table_of_a_cycle_is_exact(tmp_path):
    """The steps drawn are on the page with rate and momentum with all digits, and so are the facts."""
    result = CYCLES["race"]
    _, page = written([result], tmp_path)
    rows = np.asarray(page.tables["The cycle at the steps drawn"][1:], dtype=float)
    np.testing.assert_array_equal(rows, np.stack([result.steps_shown, result.learning_rates, result.momenta], axis=1))
    facts = dict(page.tables["The cycle"][1:])
    assert facts["schedule"] == result.schedule
    assert (facts["peak learning rate"], facts["steps completed"]) == (0.05, 500)
    assert (facts["peak picked by"], facts["momentum"]) == ("race", "0.95 to 0.85 and back")


@pytest.mark.parametrize("name", ["range test", "race"])
def test_evidence_of_a_cycle_has_a_section(name, tmp_path):
    """Below the cycle are the figures and tables of the range test or the race that picked the peak."""
    report = CYCLES[name]
    text, page = written([report], tmp_path, sources=["cycle.json"])
    _, evidence = written([report.evidence], tmp_path)
    assert set(evidence.tables) <= set(page.tables)
    assert len(page.figures) == 1 + len(evidence.figures)
    assert text.index("Training cycle</h2>") < text.index(f"Learning rate {name}</h2>")
    assert "onecycle report cycle.json -o report.html" in text


def test_equal_results_give_equal_files(tmp_path):
    """The file has no date and no path, so it can be kept under version control."""
    first, _ = written(list(RESULTS.values())[:3], tmp_path)
    second, _ = written(list(RESULTS.values())[:3], tmp_path)
    assert first == second


def test_page_of_one_result_is_small(tmp_path):
    """plotly is compressed: the page of a range test has at most 2.5 MB."""
    written([RANGE_TESTS["pretty"]], tmp_path)

    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2_500_000


def test_other_result_shows_its_summary(tmp_path):
    """A result of a class without a section becomes a section with its summary."""

    @dataclasses.dataclass(frozen=True, eq=False, repr=False)
    class Advice(Result):
        def summary(self):
            return "Take 64 & <no> more.\nReally."

        def _draw(self, ax):
            raise ImportError

        def _headline(self):
            return "64"

    text, _ = written([Advice()], tmp_path)
    assert "Take 64 &amp; &lt;no&gt; more.\nReally.</pre>" in text
    assert "Take 64 &amp; &lt;no&gt; more." in Advice()._repr_html_()


def test_wrong_arguments_leave_the_old_file(tmp_path):
    """No results, an object that is no result, and sources that do not match are errors."""
    old = tmp_path / "report.html"
    old.write_text("old")
    with pytest.raises(ValueError, match="at least one result"):
        write_report([], old)
    with pytest.raises(TypeError, match="Received: int"):
        write_report([3], old)
    with pytest.raises(ValueError, match="2 for 1"):
        write_report([RANGE_TESTS["pretty"]], old, sources=["a", "b"])
    assert old.read_text() == "old"


def test_missing_plotly_is_an_error_that_says_what_to_install(monkeypatch, tmp_path):
    """The error names the package."""
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ImportError, match="pip install plotly"):
        RANGE_TESTS["pretty"].to_html(tmp_path / "report.html")


def test_origin_is_shown_once_if_it_is_the_same_and_with_each_result_otherwise(tmp_path):
    """Date, model and machine are at the top, or with each result where they differ; old results lack them."""
    first = dataclasses.replace(
        RANGE_TESTS["pretty"], origin={"date": "2026-01-01", "model": "net (Sequential, 10 weights)"}
    )
    later = dataclasses.replace(first, origin={**first.origin, "date": "2026-01-02"})
    other = dataclasses.replace(first, origin={**first.origin, "model": "other"})
    for results, count in (([first, later], 1), ([first, other], 2), ([RANGE_TESTS["pretty"]], 0)):
        write_report(results, tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text()
        assert page.count('<p class="source">2026-01') == count
        assert ("2026-01-01 · net (Sequential, 10 weights)" in page) == bool(count)
