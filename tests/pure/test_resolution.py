"""The resolution of a measure, from its values."""

import math

import numpy as np
import pytest

from onecycle.comparison.resolution import metric_resolution, time_resolution
from onecycle.comparison.statistics import ROUNDING, t_interval


@pytest.mark.parametrize(
    ("arm", "baseline", "resolution"),
    [
        ([0.80, 0.84, 0.88], [0.78, 0.82, 0.86], 0.02),  # no value occurs twice, but every difference is 0.02
        ([0.80, 0.82, 0.85], [0.78, 0.81, 0.85], 0.01),  # 0.85 occurs twice
        ([0.8012, 0.8237, 0.8519], [0.7811, 0.8101, 0.8422], 0.0),  # no value and no difference occurs twice
        ([0.5, 0.5], [0.5, 0.5], 0.0),  # a single value shows nothing
        ([0.5, math.nan], [0.5, 0.7], 0.2),
        ([math.nan], [math.nan], 0.0),
    ],
)
def test_resolution_of_a_metric(arm, baseline, resolution):
    """It is the smallest distance between values, and 0 where none occurs twice."""
    values = np.array([arm, baseline])
    for dtype in ("float64", "float32"):
        rounded = values.astype(dtype).astype("float64")
        assert metric_resolution(rounded, rounded[0] - rounded[1]) == pytest.approx(resolution, abs=1e-6)


def test_resolution_of_accuracy(draws):
    """The accuracy on 200 rows is a multiple of 0.005, also after it was computed in float32."""
    values = (draws.integers(150, 190, (2, 12)) / 200).astype("float32").astype("float64")
    assert metric_resolution(values, values[0] - values[1]) == pytest.approx(0.005, abs=1e-6)


@pytest.mark.parametrize("seeds", [3, 4, 8])
def test_false_verdicts_on_rounded_runs_are_rare(seeds, draws):
    """With the resolution that the values show, at most 7 % of A/A comparisons have a verdict on one of three arms."""
    runs = np.round(draws.normal(80, 1, (1500, 4, seeds))) / 100
    wrong = [any(excludes_zero(arm, baseline) for arm in arms) for baseline, *arms in runs]
    assert np.mean(wrong) <= 0.07


def excludes_zero(arm, baseline):
    """Return whether the interval for one of three arms excludes no difference."""
    differences = arm - baseline
    floor = ROUNDING * metric_resolution([arm, baseline], differences)
    _, low, high = t_interval(differences, arms=3, floor=floor)
    return low > 0 or high < 0


def test_resolution_of_a_time():
    """Times are seen at the end of an epoch, which is coarsest for the shortest time; without a time there is none."""
    assert time_resolution([10, 4, math.nan]) == pytest.approx(math.log(5 / 4))
    assert time_resolution([math.nan]) == 0.0


@pytest.fixture
def draws():
    """A random generator with the same seed for every test."""
    return np.random.default_rng(20261127)
