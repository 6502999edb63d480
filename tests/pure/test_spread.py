"""The interval of a suggestion: from the study's spread, and from repeats."""

import math

import numpy as np
import pytest

from onecycle import load
from onecycle.plot.range_test_info import range_test_picture
from onecycle.results import RangeTest
from onecycle.suggestions import RULES, StopReason
from onecycle.suggestions.spread import DEVIATIONS, suggestion_interval

RATES = np.geomspace(1e-6, 10, 301)


def curve(blow_up=0.1, seed=0):
    """Return losses that fall, and shoot up at a rate."""
    noise = 0.01 * np.random.default_rng(seed).normal(size=len(RATES))
    return 2 - np.clip(np.log10(RATES / 1e-4), 0, 1.5) + 30 * np.clip(np.log10(RATES / blow_up), 0, None) + noise


def range_test(losses, **settings):
    """Return the range test with these losses."""
    return RangeTest.from_losses(RATES, losses, StopReason.DIVERGED, **settings)


@pytest.mark.parametrize("rule", RULES)
def test_interval_of_one_test_is_that_of_the_study(rule):
    """Its ends are a factor of 10 ** (1.96 * sqrt(2) * deviation) from the suggestion."""
    result = range_test(curve(), rule=rule)
    rate, (low, high) = result.learning_rate, result.interval
    factor = 10 ** (1.96 * math.sqrt(2) * DEVIATIONS[rule])
    assert (low, high) == pytest.approx((rate / factor, rate * factor))


def test_repeats_weigh_their_own_spread_against_the_studys():
    """Repeats that agree narrow the interval, repeats that differ widen it, and the width is the pooled one."""
    one = range_test(curve())
    same = range_test([curve(seed=seed) for seed in range(5)])
    different = range_test([curve(blow_up, seed=k) for k, blow_up in enumerate(np.geomspace(0.003, 3, 5))])
    width = lambda result: math.log10(result.interval[1] / result.interval[0])  # noqa: E731
    assert width(same) < 0.5 * width(one) < width(different)
    logs = [math.log10(RULES["one_cycle"](RATES, row).learning_rate) for row in different.losses]
    pooled = (4 * 0.152**2 + 4 * np.var(logs, ddof=1)) / 8
    assert width(different) == pytest.approx(2 * 1.96 * math.sqrt(2 * pooled / 5))


def test_no_interval_without_a_suggestion_or_for_a_rule_of_ones_own():
    """A flat curve has no suggestion, and the study knows no rule of the user's."""
    assert range_test(np.ones(len(RATES))).interval is None

    def own(learning_rates, losses):
        return RULES["minimum"](learning_rates, losses)

    assert range_test(curve(), rule=own).interval is None
    assert suggestion_interval("one_cycle", 0.1, [None, 0.1]) == suggestion_interval("one_cycle", 0.1)


def test_interval_is_shown_and_saved(tmp_path):
    """The summary, the title of the plot, the page and the file have it."""
    result = range_test(curve())
    text = ", {:.2g} to {:.2g} with other seeds".format(*result.interval)
    assert text in result.summary()
    assert range_test_picture(result).caption.startswith(f"{text.removeprefix(', ')}. ")
    result.save(tmp_path / "r.json")
    assert load(tmp_path / "r.json").interval == result.interval
    assert '"interval"' in (tmp_path / "r.json").read_text()
    result.to_html(tmp_path / "r.html")
    assert text in (tmp_path / "r.html").read_text()
