"""The results that version 0.1.0 saved come back whole."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import onecycle
from onecycle import results

SAVED = Path(__file__).parents[1] / "fixtures" / "saved_by_0.1.0"
EXPECTED = json.loads((SAVED / "expected.json").read_text(encoding="utf-8"))["results"]
del EXPECTED["sweep"]  # which is no longer read
RANGE_TESTS = [name for name in EXPECTED if EXPECTED[name]["type"] == "RangeTest"]


def load(name):
    """Return a result and what is expected of it."""
    return onecycle.load(SAVED / "results" / f"{name}.json"), EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_is_lost(name, tmp_path):
    """A result is of the class it had, has a summary, and when it is saved anew every field has the value it had."""
    result, expected = load(name)
    result.save(tmp_path / "again.json")
    before, after = document(SAVED / "results" / f"{name}.json"), document(tmp_path / "again.json")

    assert type(result) is getattr(results, expected["type"])
    assert result.summary()
    assert (after["format"], after["type"]) == (before["format"], before["type"])
    assert_has(after["fields"], before["fields"])


def assert_has(document, expected):
    """Check that nested objects have the expected fields; later versions may have added others."""
    if isinstance(expected, dict):
        for field, value in expected.items():
            assert_has(document[field], value)
    else:
        assert document == expected


@pytest.mark.parametrize("name", RANGE_TESTS)
def test_range_test(name):
    """The suggestions, the reason why the test ended, and the losses with their padding are those that were saved."""
    result, expected = load(name)

    assert result.rule == expected["rule"]
    assert result.stop_reason is results.StopReason[expected["stop_reason"]]
    assert {rule: found.learning_rate for rule, found in result.suggestions.items()} == expected["suggestions"]
    assert list(result.losses.shape) == expected["shape"]
    assert np.count_nonzero(~np.isfinite(result.losses)) == expected["losses not finite"]


def test_range_test_without_a_suggestion():
    """It raises the reason in place of a learning rate."""
    result, _ = load("range_test_no_suggestion")
    with pytest.raises(ValueError, match="suggests no learning rate"):
        result.learning_rate  # noqa: B018


def test_sweep_is_named():
    """`load` says that a file holds a sweep, and which version reads it."""
    with pytest.raises(ValueError, match=r"sweep\.json holds a sweep, .*: read it with that version"):
        onecycle.load(SAVED / "results" / "sweep.json")


def test_sweep_inside_a_result_is_named(tmp_path):
    """The same is said of a cycle whose peak was picked by a sweep."""
    sweep, file = document(SAVED / "results" / "sweep.json"), tmp_path / "cycle.json"
    results.CycleReport("OneCycle(0.1, 9)", None, start_step=0, total_steps=9, steps=9, skipped_steps=0).save(file)
    cycle = document(file)
    cycle["fields"]["evidence"] = {"kind": sweep["type"], "fields": sweep["fields"]}
    file.write_text(json.dumps(cycle))
    with pytest.raises(ValueError, match=r"cycle\.json holds a sweep"):
        onecycle.load(file)


def test_comparison():
    """The target, the runs, of which one diverged, and the verdicts are those that were saved."""
    result, expected = load("comparison")
    verdicts = result.verdicts["1cycle"]

    assert result.target == expected["target"]
    assert {arm: [finite(run["final"]) for run in result.of(arm)] for arm in result.arms} == expected["final"]
    assert {arm: [run["diverged"] for run in result.of(arm)] for arm in result.arms} == expected["diverged"]
    assert {
        measure: {"kind": verdict.kind, "effect": finite(verdict.effect), "p": finite(verdict.p)}
        for measure, verdict in verdicts.items()
    } == expected["verdicts"]


def test_what_fit_saves_is_not_a_result():
    """`load` says that a file of `onecycle fit --save` is not a onecycle result."""
    with pytest.raises(ValueError, match="not a onecycle result"):
        onecycle.load(SAVED / "results" / "fit.json")


def document(path):
    """Return what a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def finite(value):
    """Return the number, or None for NaN and infinities."""
    return float(value) if math.isfinite(value) else None
