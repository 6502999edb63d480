"""Tests that the figures in README.md, benchmarks/README.md and docs/ are those of the records."""

import re
from pathlib import Path

import pytest

from benchmarks import table

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ROOT / "studies"


@pytest.fixture(scope="module")
def costs():
    """Return the table of costs that `python -m benchmarks.table` makes of the newest results."""
    return table.costs()


TABLES = {f"{place} in {page.parent.name}/{page.name}": (page, place, made) for page, place, made in table.tables()}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_results(name):
    """The tables are those that `python -m benchmarks.table` makes of the newest results."""
    page, place, made = TABLES[name]
    assert f"<!-- {place} -->\n{made}\n" in page.read_text(encoding="utf-8")
    assert made.count("\n") >= 4


def test_readme_has_the_range_of_the_callback_costs(costs):
    """README.md gives the lowest and the highest ratio of `OneCycleScheduler` in the table of costs."""
    rows = [cells_of(line) for line in costs.splitlines() if "| OneCycleScheduler |" in line]
    ratios = sorted(ratio.split()[0] for _, _, _, ratio, *_ in rows)
    assert len(ratios) == 9
    assert f"`OneCycleScheduler` takes {ratios[0]} to {ratios[-1]} times the CPU time" in text("README.md")


# Quote from README.md -> the block in the README of the study, and parts of the line that supports the quote.
FIGURES = {
    "at its best (90.4 % test accuracy)": ("fashion-mnist", "Target: 0.9037"),
    "after 13 epochs (median over seeds)": ("fashion-mnist", "SGD 0.01", "13 epochs", "4.6 to 7.7"),
    "6.0 times fewer epochs (95 % interval 4.6 to 7.7)": ("fashion-mnist", "SGD 0.01", "6 times", "4.6 to 7.7"),
    "3.8 times fewer (1.2 to 12) without momentum": ("fashion-mnist", "SGD 0.1, tuned", "3.8 times", "1.2 to 12"),
    "5.8 times fewer (2.7 to 12) with momentum": ("fashion-mnist", "momentum 0.9, tuned", "5.8 times", "2.7 to 12"),
    "1cycle reaches 81.9 %": ("cifar10", "| 1cycle ", "| 0.8192 "),
    "tuned SGD 79.7 % with": ("cifar10", "| SGD 0.01, momentum 0.9, tuned ", "| 0.7968 "),
    "79.7 % with and without momentum": ("cifar10", "| SGD 0.1, tuned ", "| 0.7974 "),
    "and plain SGD 76.1 %": ("cifar10", "| SGD 0.01 ", "| 0.761 "),
    "needs 2.9 times fewer epochs": ("cifar10", "SGD 0.01", "2.9 times"),
    "1.4 times fewer (0.64 to 3.2)": ("cifar10", "SGD 0.1, tuned", "1.4 times", "0.64 to 3.2"),
    "1.2 times fewer (0.5 to 2.9)": ("cifar10", "momentum 0.9, tuned", "1.2 times", "0.5 to 2.9"),
    "a mean squared error of 13.2": ("boston-housing", "| 1cycle | 13.24 |", "| 20 |"),
    "tuned SGD with momentum at 12.9": ("boston-housing", "| SGD 0.001, momentum 0.9, tuned | 12.89 |", "| 20 |"),
    "plain SGD at 13.7 over the 18 seeds": ("boston-housing", "| SGD 0.01 | 13.72 |", "| 18 |"),
}


@pytest.mark.parametrize("quote", FIGURES)
def test_figures_are_those_of_the_article_study(quote):
    """Each figure in README.md is in the block that the study's analysis generated from the records."""
    task, *parts = FIGURES[quote]
    study = text("studies/2026-11-23_the_article/README.md")
    block = re.search(f"<!-- {task} -->(.*?)<!-- /{task} -->", study, re.DOTALL)[1]
    assert quote in text("README.md")
    assert any(all(part in line for part in parts) for line in block.splitlines())


PICKERS = {
    "[race](race.md) of three candidates": "race of 3",
    "race of two": "race of 2",
    "range test, rule `one_cycle` (default)": "one_cycle",
    "Keras' default learning rates, as the peak": "default rate",
    "range test, rule `blow_up` (the article's)": "the article's tenth",
    "fastai `slide`": "fastai slide",
    "fastai `minimum`": "fastai minimum",
    "fastai `valley` (its default)": "fastai valley",
    "Keras' default learning rates, constant": "default rate, constant",
    "torch-lr-finder": "torch-lr-finder",
    "fastai `steep`": "fastai steep",
    "Lightning": "Lightning",
}


@pytest.fixture(scope="module")
def measured():
    """Return tasks, cost, median, mean, 95th percentile and number over 50 % of each picker on the judging tasks."""
    judged = text("studies/2026-11-28_benchmark/results.md").split("\n\n")[1]
    return {name: cells for name, *cells in map(cells_of, judged.splitlines())}


def test_regrets_are_those_of_the_study(measured):
    """docs/how_to_choose.md gives the medians, means, catastrophe counts and costs of the judging tasks."""
    lines = map(cells_of, text("docs/how_to_choose.md").splitlines())
    rows = [cells for cells in lines if cells[0] in PICKERS]
    assert [cells[0] for cells in rows] == list(PICKERS)
    for name, median, mean, catastrophes, cost in rows:
        expected = measured[PICKERS[name]]
        for quoted, value in ((median, expected[2]), (mean, expected[3])):
            assert number(quoted) == pytest.approx(number(value.split(" (")[0]), abs=0.05 if "." in quoted else 0.5)
        assert (catastrophes, cost) == (expected[5], expected[1])


@pytest.mark.parametrize(
    ("picker", "quote"),
    [
        ("one_cycle", "{} above that at the tuned rate in the median, and more than 50 % above it in {} cases"),
        ("race of 3", "[race](docs/race.md), for one run more, had {} and no case"),
        ("default rate", "Keras' default learning rates {} and none"),
    ],
)
def test_limits_in_readme_are_those_of_the_study(picker, quote, measured):
    """README.md gives the study's figures for the default rule, the race and the default rates."""
    median, catastrophes = measured[picker][2].split(" (")[0], measured[picker][5]
    assert quote.format(median, catastrophes) in text("README.md")
    assert "{}" in quote.replace("{}", "", 1) or catastrophes.startswith("0 of ")


def test_limits_of_fastai_are_those_of_the_study(measured):
    """README.md gives the lowest and highest figures of fastai's rules."""
    found = [cells for name, cells in measured.items() if name.startswith("fastai ")]
    medians = sorted(number(cells[2].split(" (")[0]) for cells in found)
    cases = sorted(int(cells[5].split()[0]) for cells in found)
    quote = f"fastai had {medians[0]:g} to {medians[-1]:.0f} % and {cases[0]} to {cases[-1]} cases"
    assert len(found) == 4
    assert quote in text("README.md")


def test_caption_of_the_benchmark_is_that_of_the_study(measured):
    """The description of the picture in README.md gives the medians and costs of the race and the range test."""
    race, ramp = (measured[picker] for picker in ("race of 3", "one_cycle"))
    others = [cells for name, cells in measured.items() if name.startswith(("fastai", "torch", "Lightning"))]
    medians = [number(cells[2].split(" (")[0]) for cells in others]
    caption = (
        f"has a median of {race[2].split(' (')[0]} for {number(race[1]):.1f} runs, the range test "
        f"{ramp[2].split(' (')[0]} for {number(ramp[1]):.1f} runs; the rules of other libraries have "
        f"{min(medians):.0f} to {max(medians):.0f} %"
    )
    assert caption in text("README.md")


def text(page):
    """Return the text of a page, given its path from the root."""
    return (ROOT / page).read_text(encoding="utf-8")


def cells_of(line):
    """Return the cells of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def number(cell):
    """Return the number in a cell."""
    return float(re.sub("[^0-9.-]", "", cell))
