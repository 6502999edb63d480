"""The report of a training's cycle: its fields, its text, and how it is saved and loaded."""

import dataclasses

import numpy as np
import pytest
from render.sample_cycles import CYCLES
from render.sample_races import RACES
from render.sample_range_tests import RANGE_TESTS

from onecycle.results import CycleReport, Result, load

PRETTY = CYCLES["range test"]
EACH = pytest.mark.parametrize("report", CYCLES.values(), ids=CYCLES)


@EACH
def test_report_is_a_result(report, tmp_path):
    """A loaded report equals the saved one, with its evidence and its curve."""
    report.save(tmp_path / "cycle.json")
    loaded = load(tmp_path / "cycle.json")
    assert isinstance(report, Result)
    assert type(loaded) is CycleReport
    assert loaded == report
    assert loaded.steps_shown.dtype == np.int64


def test_evidence_is_a_range_test_or_a_race():
    """`range_test` and `race` are the evidence where it has that class, and None otherwise."""
    by_range_test, by_race, given = (CYCLES[name] for name in ("range test", "race", "given"))
    assert (by_range_test.range_test, by_range_test.race) == (RANGE_TESTS["pretty"], None)
    assert (by_race.range_test, by_race.race) == (None, RACES["pretty"])
    assert (given.range_test, given.race, given.reason) == (None, None, None)


def test_summary_has_schedule_steps_and_evidence():
    """The text holds the schedule, the momentum, the steps made, and what picked the peak, at what cost."""
    assert PRETTY.summary() == (
        "OneCycle(max_learning_rate=0.2, total_steps=400), momentum 0.95 to 0.85 and back; "
        "400 steps of a cycle of 400. "
        f"Picked by a range test of 200 steps. {RANGE_TESTS['pretty'].suggestion.reason}"
    )
    assert "Picked by a race that cost 2.15 runs. " in CYCLES["race"].summary()
    assert CYCLES["given"].summary() == (
        "OneCycle(max_learning_rate=0.1, total_steps=400); 150 steps of a cycle of 400, 3 skipped by loss scaling."
    )
    assert CYCLES["no curve"].summary() == "Custom; 20 steps of a cycle of unknown length."


def test_fields_cannot_be_changed():
    """The arrays are read-only copies."""
    with pytest.raises(ValueError, match="read-only"):
        PRETTY.learning_rates[0] = 1


def test_report_without_curve_has_empty_arrays():
    """A report can be made without the values for the plot."""
    report = CycleReport("OneCycle(0.1, 9)", None, start_step=0, total_steps=9, steps=9, skipped_steps=0)
    assert (report.steps_shown.shape, report.learning_rates.shape, report.momenta) == ((0,), (0,), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rates": [1.0]}, r"learning_rates \(k,\)"),
        ({"momenta": [0.9]}, r"momenta \(k,\)"),
        ({"steps_shown": np.zeros(200)}, "must increase"),
        ({"steps_shown": range(201), "learning_rates": np.ones(201), "momenta": None}, "at most 200"),
    ],
)
def test_curve_that_does_not_match_is_an_error(change, message):
    """The arrays have the same length, at most 200, and the steps increase."""
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PRETTY, **change)
