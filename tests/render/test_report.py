"""Reports as files: whole, alone, honest about their numbers, and deaf to what names say. No browser here."""

import base64
import dataclasses
import hashlib
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from render.test_comparison_plots import COMPARISONS
from render.test_plots import RANGE_TESTS
from render.test_sweep_plots import SWEEPS

from onecycle.report import markup, write_report
from onecycle.report.parts import Table
from onecycle.report.sections import section
from onecycle.results import RangeTest, Result, StopReason, load
from onecycle.schedules import curves
from onecycle.suggestions import Suggestion

RESULTS = {
    **RANGE_TESTS,
    **{f"comparison, {name}": result for name, result in COMPARISONS.items()},
    **{f"sweep, {name}": result for name, result in SWEEPS.items()},
}
ALL = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
VOID = {"meta", "link", "input", "img", "br", "path", "rect"}
HOSTILE = "</script><script>alert(1)</script>"
NAMES = (
    HOSTILE,
    "<!-- <img src=x onerror=alert(1)> \u2028",
    '" onfocus="alert(1)" autofocus="',
    "&lt;b&gt; @blue %{x}",
)


class Page(HTMLParser):
    """An HTML file as read: its elements, the tables, the scripts; raises where tags do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.tables, self.scripts = [], [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "data":
            self.rows[-1][-1] = float(dict(attributes)["value"])
        elif tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables.setdefault(self.caption, self.rows)

    def handle_data(self, text):
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += text
        elif self.open[-1:] == ["caption"]:
            self.caption += text
        elif self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += text

    def attributes(self, *names):
        """The values of these attributes, anywhere."""
        return [value for _, found in self.elements for name, value in found.items() if name in names]

    @property
    def figures(self):
        """The figures' data, by name."""
        return json.loads(self.scripts[0])


def written(results, folder, **options):
    """The report on these results, as text and as read."""
    path = folder / "report.html"
    write_report(results, path, **options)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def hostile():
    """A comparison and a range test whose every name is an attack."""
    plain = COMPARISONS["pretty"]
    names = dict(zip(plain.arms, NAMES, strict=False))
    runs = tuple({**run, "arm": names[run["arm"]]} for run in plain.runs)
    compared = dataclasses.replace(
        plain,
        arms=tuple(names.values()),
        runs=runs,
        verdicts={names[arm]: of for arm, of in plain.verdicts.items()},
        curves={names[arm]: of for arm, of in plain.curves.items()},
        config={"arms": {names[arm]: {"optimizer": HOSTILE} for arm in plain.arms}, HOSTILE: HOSTILE},
        problems=(HOSTILE,),
        target_from=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )
    tested = dataclasses.replace(
        RANGE_TESTS["pretty"],
        suggestions={name: Suggestion(0.1, HOSTILE) for name in NAMES},
        rule=HOSTILE,
        optimizer=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )
    swept = dataclasses.replace(
        SWEEPS["pretty"],
        pick=dataclasses.replace(SWEEPS["pretty"].pick, reason=HOSTILE),
        held_out=HOSTILE,
        engines=(HOSTILE,),
        config={"epochs": HOSTILE, HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
    )
    return [compared, tested, swept]


@ALL
def test_every_result_becomes_a_whole_page_that_needs_nothing_else(result, tmp_path):
    """Pretty or ugly: tags match, ids are single, what is referred to is there, nothing is fetched, below 6 MB."""
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


@ALL
def test_every_figure_has_a_table_a_text_and_a_name(result):
    """Those who cannot see a picture are told the same."""
    for figure in section(result).figures:
        assert figure.tables
        assert figure.says
        assert figure.title


def test_only_the_scripts_that_came_with_it_may_run(tmp_path):
    """The policy refuses all that is fetched, and names each script by its hash."""
    _, page = written([RANGE_TESTS["pretty"]], tmp_path)
    policy = next(
        found["content"] for tag, found in page.elements if found.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in page.scripts[1:]]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_names_are_text_and_never_markup(tmp_path):
    """Arms, rules, optimizers, versions, files: whatever they are called, the page is made as a tame one is."""
    text, page = written(hostile(), tmp_path, sources=[HOSTILE, *NAMES[1:3]])
    _, tame = written([COMPARISONS["pretty"], RANGE_TESTS["pretty"], SWEEPS["pretty"]], tmp_path)
    assert len(page.scripts) == len(tame.scripts) == 4
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in tame.elements}
    assert not {name for _, found in page.elements for name in found if name.startswith("on") or name == "autofocus"}
    assert "<script>alert" not in text
    assert "\u2028" not in page.scripts[0]
    assert HOSTILE in [row[0] for row in page.tables["Every run"]]
    shown = [trace["name"] for trace in page.figures["figure-0-0"]["views"][0]["traces"]]
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert not [name for name in shown if "<" in name]


def test_the_table_of_steps_is_the_result(tmp_path):
    """Rates, losses and smoothed losses stand in the page to the last digit."""
    result = RANGE_TESTS["repeats"]
    _, page = written([result], tmp_path)
    rows = page.tables["Every step of the range test"][1:]
    missing = np.asarray([[np.nan if cell == "–" else cell for cell in row] for row in rows], dtype=float)
    wanted = [np.arange(200), result.learning_rates, *result.losses, result.smoothed]
    np.testing.assert_array_equal(missing, np.stack(wanted, axis=1))


def test_the_tables_of_a_comparison_are_the_result(tmp_path):
    """Every run, every mean, every difference and every verdict stand in the page to the last digit."""
    result = COMPARISONS["pretty"]
    _, page = written([result], tmp_path)
    runs = page.tables["Every run"]
    final = {(row[0], row[1]): row[runs[0].index("final")] for row in runs[1:]}
    assert final == {(run["arm"], run["seed"]): run["final"] for run in result.runs}
    means = {(row[0], row[1]): row[2] for row in page.tables["val_accuracy after each epoch"][1:]}
    assert means == {(a, n + 1): mean for a in result.arms for n, mean in enumerate(result.curves[a]["mean"])}
    seeds = page.tables["Each seed's difference to plain; of times the ratio"]
    for row in seeds[1:]:
        for measure, value in zip(seeds[0][2:], row[2:], strict=True):
            assert value == result.verdicts[row[0]][measure].differences[int(row[1])]
    effects = {
        (row[0], row[1].removesuffix(" (ratio)")): row[3] for row in page.tables["Every verdict, against plain"][1:]
    }
    assert effects == {(arm, m): v.effect for arm, of in result.verdicts.items() for m, v in of.items()}


def test_the_table_of_a_sweep_is_the_result(tmp_path):
    """Every run stands in the page with its rate, steps and score to the last digit."""
    result = SWEEPS["pretty"]
    _, page = written([result], tmp_path)
    rows = [[None if cell == "–" else cell for cell in row[:3]] for row in page.tables["Each run"][1:]]
    wanted = zip(result.learning_rates, result.steps, result.scores, strict=True)
    assert rows == [[rate, steps, score if np.isfinite(score) else None] for rate, steps, score in wanted]


def test_the_call_that_repeats_a_sweep():
    """Its epochs, budget, batch size and seed."""
    call, shell = section(SWEEPS["pretty"]).code
    assert call.endswith("(model, x, y, epochs=10, budget=0.5, batch_size=32, seed=3)")
    assert shell == "onecycle sweep MODULE:FUNCTION --epochs 10 --budget 0.5 --batch-size 32 --seed 3"


def test_a_drawn_point_is_the_results():
    """The figures' data are the numbers themselves, not rounded, and None where there is no number."""
    figure = section(RANGE_TESTS["NaN tail"]).figures[0]
    points = next(trace for trace in figure.views[0].traces if trace["meta"]["keys"] == ["points"])
    assert points["y"][:150] == RANGE_TESTS["NaN tail"].losses[:150].tolist()
    assert points["y"][150:] == [None] * 50


def test_a_long_table_is_thinned_and_says_so():
    """Beyond 500 rows evenly chosen ones are shown, the last among them; the caption tells."""
    text = markup.table(Table("Steps", ("step",), [(n,) for n in range(10_001)]))
    shown = [int(value) for value in re.findall(r'<data value="(\d+)"', text)]
    assert len(shown) <= 500
    assert (shown[0], shown[-1]) == (0, 10_000)
    assert "(each 21th row and the last of 10001" in text


def test_the_verdict_is_one_plain_sentence():
    """It names the baseline, the metric, the seeds, and each arm with its effect."""
    verdict = section(COMPARISONS["pretty"]).verdict
    assert verdict.startswith("Against plain, in val_accuracy after the last epoch over 8 seeds: cycle (")
    assert "is better; other (" in verdict
    assert verdict.endswith("makes no practical difference.")
    assert "nothing to compare it with" in section(COMPARISONS["one arm"]).verdict


def test_the_call_that_repeats_a_range_test_gives_its_ramp():
    """Its ends are worked out from the rates, of a test that stopped early as well."""
    rates = curves.Curve(curves.range_ramp(1e-6, 10.0, 300)).values(np.arange(120))
    result = RangeTest.from_losses(rates, np.linspace(2, 1, 120), StopReason.DIVERGED, num_steps=300, seed=3)
    call, shell = section(result).code
    assert "min_learning_rate=1e-06, max_learning_rate=10.0, num_steps=300, seed=3" in call
    assert shell == (
        "onecycle find MODULE:FUNCTION --min-learning-rate 1e-06 --max-learning-rate 10.0 --num-steps 300 --seed 3"
    )


def test_the_same_results_give_the_same_file(tmp_path):
    """No date and no path gets in, so a report can be kept under version control."""
    first, _ = written(list(RESULTS.values())[:3], tmp_path)
    second, _ = written(list(RESULTS.values())[:3], tmp_path)
    assert first == second


def test_a_result_without_a_section_shows_its_summary(tmp_path):
    """A new kind of result is in the report from its first day."""

    @dataclasses.dataclass(frozen=True, eq=False)
    class Advice(Result):
        def summary(self):
            return "Take 64 & <no> more.\nReally."

        def plot(self, ax=None):
            raise ImportError

    text, _ = written([Advice()], tmp_path)
    assert "Take 64 &amp; &lt;no&gt; more.\nReally.</pre>" in text
    assert "Take 64 &amp; &lt;no&gt; more." in Advice()._repr_html_()


def test_what_cannot_be_reported_is_refused(tmp_path):
    """Nothing, a thing that is no result, sources that do not fit: an error, and an old file stays as it was."""
    old = tmp_path / "report.html"
    old.write_text("old")
    with pytest.raises(ValueError, match="at least one result"):
        write_report([], old)
    with pytest.raises(TypeError, match="Received: int"):
        write_report([3], old)
    with pytest.raises(ValueError, match="2 for 1"):
        write_report([RANGE_TESTS["pretty"]], old, sources=["a", "b"])
    assert old.read_text() == "old"


def test_without_plotly_it_says_what_to_install(monkeypatch, tmp_path):
    """One ImportError that names the extra."""
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ImportError, match=r"pip install 'onecycle\[report\]'"):
        RANGE_TESTS["pretty"].to_html(tmp_path / "report.html")


def test_a_notebook_shows_verdict_picture_and_table():
    """The picture is in the HTML itself, and there is no script in it."""
    shown = RANGE_TESTS["pretty"]._repr_html_()
    assert "Suggested learning rate" in shown
    assert "<table>" in shown
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', shown)
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")
    assert "<script" not in shown


def test_a_notebook_without_matplotlib_shows_the_rest(monkeypatch):
    """The verdict and the table need no extra; names are text there too."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for result in hostile():
        shown = result._repr_html_()
        assert "<table>" in shown
        assert "<img" not in shown
        assert "<script" not in shown


@ALL
def test_a_notebook_shows_every_result(result):
    """Pretty or ugly, tags match."""
    assert Page(result._repr_html_()).tables


def test_the_command_needs_no_keras(python, tmp_path):
    """`onecycle report` makes the file from saved results; keras, matplotlib and scipy stay out of it."""
    RANGE_TESTS["pretty"].save(tmp_path / "a.json")
    COMPARISONS["pretty"].save(tmp_path / "b.json")
    program = (
        "import sys; from onecycle.__main__ import main; code = main(['report', *sys.argv[1:], '--json']);"
        "print(code, sorted({'keras', 'matplotlib', 'scipy', 'tensorflow', 'jax'} & set(sys.modules)))"
    )
    out = tmp_path / "out.html"
    done = python(program, tmp_path / "a.json", tmp_path / "b.json", "-o", out)
    *told, last = done.stdout.strip().splitlines()
    assert last == "0 []"
    assert json.loads("\n".join(told)) == {
        "report": str(out), "bytes": out.stat().st_size, "results": ["RangeTest", "Comparison"],
    }  # fmt: skip
    page = Page(out.read_text(encoding="utf-8"))
    assert page.tables["Every run"]
    assert load(tmp_path / "b.json") == COMPARISONS["pretty"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none.json", "-o", "out.html"], 2, "There is no file none.json"),
        (["torn.json", "-o", "out.html"], 1, "torn.json is not whole JSON"),
        (["good.json", "-o", "good.json"], 2, "must end in .html"),
        (["good.json", "-o", "no/out.html"], 2, "There is no folder"),
        ([], 2, "Missing argument"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, code, told, capsys, monkeypatch, tmp_path):
    """One sentence, exit code 2 for wrong use and 1 for a broken file, and nothing is written."""
    from onecycle.cli import run

    monkeypatch.chdir(tmp_path)
    RANGE_TESTS["three points"].save("good.json")
    (tmp_path / "torn.json").write_text('{"format": ')
    assert run(["report", *arguments]) == code
    assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))
    load("good.json")
