"""What README.md and the documentation quote is what was measured."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_costs_are_those_of_the_results():
    """The table of README.md is what `python -m benchmarks.table` makes of the newest results."""
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = module.table()

    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
    assert table.count("\n") > 20


STUDY = ROOT / "studies" / "2026-11-23_picking_the_rate" / "results.md"
NAMES = {
    "`sweep_learning_rates`": "sweep 1",
    "the sweep, budget 1": "sweep 1",
    "the sweep, budget 0.5": "sweep 0.5",
    "`find_learning_rate` (rule `one_cycle`, the default)": "one_cycle",
    "range test, `one_cycle` (onecycle's default)": "one_cycle",
    "the same with the article's rule, `blow_up`": "blow_up",
    "range test, `blow_up` (the article's rule)": "blow_up",
    "fastai `minimum`": "fastai minimum",
    "fastai, `minimum`": "fastai minimum",
    "fastai, `slide`": "fastai slide",
    "fastai `valley` (its default)": "fastai valley",
    "fastai, `valley`, its default": "fastai valley",
    "torch-lr-finder": "torch-lr-finder",
    "Keras' default rate": "Keras default",
    "Keras' default rates": "Keras default",
    "Lightning": "Lightning",
}


@pytest.mark.parametrize("page", ["README.md", "docs/how_to_choose.md"])
def test_regrets_are_those_of_the_study(page):
    """Median and catastrophes of each picker are those of its first table, the judged tasks."""
    judged = STUDY.read_text(encoding="utf-8").split("\n\n")[1]
    measured = {name: cells for name, *cells in map(cells_of, judged.splitlines())}
    quoted = [
        cells for cells in map(cells_of, (ROOT / page).read_text(encoding="utf-8").splitlines()) if cells[0] in NAMES
    ]
    quoted = [cells for cells in quoted if cells[1].endswith("%")]
    assert len(quoted) >= 7
    for name, median, catastrophes, *_ in quoted:
        of = measured[NAMES[name]]
        assert number(median) == pytest.approx(number(of[0]), abs=0.05 if "." in median else 0.5)
        many, all_ = map(int, of[2].split(" of "))
        assert catastrophes in (of[2], f"{100 * many / all_:.0f} %")


def cells_of(line):
    """The cells of a row of a table, or one cell."""
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def number(text):
    """The number in a cell."""
    return float(re.sub("[^0-9.-]", "", text))
