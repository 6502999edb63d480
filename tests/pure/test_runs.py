"""The times of a measured run."""

import math

import pytest
from oracles.records import run

from onecycle.comparison.measures import measured_run
from onecycle.results.runs import TIMES, time_or_length, time_to_target


@pytest.fixture
def reached():
    """A run that reaches the target in its second of three epochs."""
    return measured_run(run("plain", 0, [0.5, 0.9, 0.95]), "val_accuracy", "max", 0.9)


@pytest.fixture
def censored():
    """A run of two epochs that does not reach the target."""
    return measured_run(run("plain", 0, [0.5, 0.6]), "val_accuracy", "max", 0.9)


@pytest.mark.parametrize("measure", TIMES)
def test_time_to_target_is_the_key_of_the_run(reached, measure):
    """Each time is the value under its key, and is the same as the time or length."""
    assert time_to_target(reached, measure) == reached[f"{measure}_to_target"]
    assert time_or_length(reached, measure) == reached[f"{measure}_to_target"]


def test_run_that_does_not_reach_the_target_has_its_length(censored):
    """There is no time to the target, and the length is a lower bound."""
    assert [time_to_target(censored, measure) for measure in TIMES] == [None] * 4
    assert time_or_length(censored, "epochs") == 2
    assert math.isfinite(time_or_length(censored, "seconds"))


def test_unknown_time_is_an_error(reached):
    """A metric is not a time."""
    with pytest.raises(KeyError, match="final"):
        time_to_target(reached, "final")
