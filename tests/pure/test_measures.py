"""What is measured of runs, on records made by hand."""

import math

import pytest
from oracles.records import run

from onecycle.comparison.comparing import concluded
from onecycle.comparison.measures import measured
from onecycle.results.comparison import TIMES


def test_the_target_is_the_baselines_mean_best():
    """The best of each seed, which need not be its last."""
    found = concluded(
        [run("plain", 0, [0.2, 0.8, 0.6]), run("plain", 1, [0.3, 0.4, 0.5]), run("other", 0, [1.0])], ("plain",), (0, 1)
    )

    assert found.target == pytest.approx(0.65)
    assert found.target_from == "the mean over seeds of the best of plain"


def test_a_baseline_that_diverged_does_not_lower_the_target():
    """Its best is from before it diverged, and would be met by anything."""
    runs = [run("plain", 0, [0.2, 0.8]), run("plain", 1, [0.1, math.nan], diverged=2)]
    found = concluded(runs, ("plain",), (0, 1))

    assert found.target == pytest.approx(0.8)
    assert found.target_from == "the mean over seeds of the best of plain, without the 1 that diverged"


def test_where_every_baseline_diverged_the_best_stands():
    """There is nothing else to be met; without any finite value there is no target."""
    assert concluded([run("plain", 0, [0.1, math.nan], diverged=2)], ("plain",), (0,)).target == pytest.approx(0.1)
    assert math.isnan(concluded([run("plain", 0, [math.nan], diverged=1)], ("plain",), (0,)).target)


@pytest.mark.parametrize("value", [0.95, math.nan])
def test_a_run_that_diverged_has_no_number_and_reached_nothing(value):
    """An accuracy may be as good as any while the loss is NaN: there is no model left to use it."""
    found = measured(run("wild", 0, [0.9, value], diverged=2), "val_accuracy", "max", 0.85)

    assert [math.isnan(found[name]) for name in ("final", "best", "loss")] == [True] * 3
    assert not found["reached"]
    assert [found[f"{name}_to_target"] for name in TIMES] == [None] * 4
    assert found["censored_at"]["epochs"] == 2


def test_a_run_that_lasts_keeps_its_numbers():
    """The same values without a NaN in the loss."""
    found = measured(run("tame", 0, [0.9, 0.95]), "val_accuracy", "max", 0.85)

    assert (found["final"], found["best"], found["loss"]) == (0.95, 0.95, 1.0)
    assert (found["reached"], found["epochs_to_target"]) == (True, 1)
