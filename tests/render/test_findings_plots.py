"""Findings: their text, their plot, and how they are saved and loaded."""

import pytest
from matplotlib.axes import Axes
from render.sample_findings import CONSTANT, FINDINGS, LABELS

from onecycle.plot import save_figure
from onecycle.plot.findings_info import findings_picture
from onecycle.results import load

EACH = pytest.mark.parametrize("result", FINDINGS.values(), ids=FINDINGS)


@EACH
def test_findings_can_be_drawn_and_saved(result, tmp_path):
    """Every sample is drawn with a line for each check, and the loaded result equals the saved one."""
    ax = result.plot()
    assert isinstance(ax, Axes)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(result.checks)
    save_figure(ax, tmp_path / "plot.png")
    result.save(tmp_path / "findings.json")
    assert load(tmp_path / "findings.json") == result


def test_findings_are_a_sequence_that_is_false_where_it_is_empty():
    """Findings can be iterated over, counted and indexed, and are false where nothing was found."""
    assert list(FINDINGS["pretty"]) == [LABELS, CONSTANT]
    assert FINDINGS["pretty"][1] is CONSTANT
    assert [bool(result) for result in FINDINGS.values()] == [True, True, False, False, False]


@EACH
def test_the_summary_has_all_findings_and_what_was_not_checked(result):
    """The text has the name, the description and the remedy of each finding, and the reasons of what is missing."""
    words = " ".join(result.summary().split())
    for finding in result:
        assert f"{finding.name}: {finding.description} {finding.remedy}" in words
    assert words.count("Not checked:") == len(result.not_made)
    assert words.startswith(result.verdict)


def test_the_picture_matches_findings_and_checks():
    """In the plot, each finding is at the check that made it."""
    texts = {line.name: line.text for line in findings_picture(FINDINGS["pretty"]).lines}
    assert texts["labels"].startswith("The targets range from 1 to 10")
    assert texts["constant features"].startswith("The same value")
    assert texts["gradients"].startswith("not checked: the data")
