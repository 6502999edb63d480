"""The measures of runs, on records made by hand."""

import math

import pytest
from oracles.records import run

from onecycle.comparison.evaluation import comparison_from_records
from onecycle.comparison.measures import measured_run, record_of
from onecycle.results.runs import TIMES, time_to_target


def test_target_is_mean_of_baselines_best_values():
    """The best value of a run need not be its last."""
    comparison = comparison_from_records(
        [run("plain", 0, [0.2, 0.8, 0.6]), run("plain", 1, [0.3, 0.4, 0.5]), run("other", 0, [1.0])], ("plain",), (0, 1)
    )

    assert comparison.target == pytest.approx(0.65)
    assert comparison.target_from == "the best value of plain, averaged over seeds"


def test_diverged_run_does_not_change_target():
    """The best value of a run that diverged is from before, and would be easy to reach."""
    runs = [run("plain", 0, [0.2, 0.8]), run("plain", 1, [0.1, math.nan], diverged=2)]
    comparison = comparison_from_records(runs, ("plain",), (0, 1))

    assert comparison.target == pytest.approx(0.8)
    assert comparison.target_from == "the best value of plain, averaged over seeds, without 1 run that diverged"


@pytest.mark.parametrize(("values", "target"), [([0.1, math.nan], 0.1), ([math.nan], math.nan)])
def test_target_if_all_runs_of_baseline_diverged(values, target):
    """The target is then the best finite value, and NaN if there is none."""
    comparison = comparison_from_records([run("plain", 0, values, diverged=len(values))], ("plain",), (0,))

    assert comparison.target == pytest.approx(target, nan_ok=True)


@pytest.mark.parametrize("value", [0.95, math.nan])
def test_diverged_run_has_no_values_and_reached_nothing(value):
    """A run whose loss became NaN has no usable model, even if its accuracy was above the target."""
    diverged = measured_run(run("wild", 0, [0.9, value], diverged=2), "val_accuracy", "max", 0.85)

    assert [math.isnan(diverged[name]) for name in ("final", "best", "loss")] == [True] * 3
    assert not diverged["reached"]
    assert [time_to_target(diverged, name) for name in TIMES] == [None] * 4
    assert diverged["censored_at"]["epochs"] == 2


def test_finished_run_has_values():
    """The same values without a NaN in the loss are the run's measures."""
    finished = measured_run(run("tame", 0, [0.9, 0.95]), "val_accuracy", "max", 0.85)

    assert (finished["final"], finished["best"], finished["loss"]) == (0.95, 0.95, 1.0)
    assert (finished["reached"], finished["epochs_to_target"]) == (True, 1)


def test_record_is_part_of_measured_run():
    """The record that a run was measured from can be read from it."""
    record = run("tame", 0, [0.9, 0.95], finder_steps=5)

    assert record_of(measured_run(record, "val_accuracy", "max", 0.85)) == record
