"""Range tests for plots and reports: a usual one, and many with missing or extreme values."""

import numpy as np

from onecycle.results import RangeTest, StopReason

NAN, INF = np.nan, np.inf


def fall_and_explosion(n=200, level=0.0, explosion=10.0):
    """Return rates, and losses that fall around 0.01 and explode from 1 on."""
    rates = np.geomspace(1e-6, 10, n)
    log_rates = np.log10(rates)
    losses = level + 0.8 + 1.5 / (1 + np.exp(4 * (log_rates + 2))) + explosion * np.maximum(0, log_rates) ** 2
    return rates, losses + 0.05 * np.random.default_rng(0).standard_normal(n)


def range_test(rates, losses, reason=StopReason.DIVERGED, **settings):
    """Return a range test with these losses."""
    return RangeTest.from_losses(rates, losses, reason, **settings)


RATES, LOSSES = fall_and_explosion()
RANGE_TESTS = {
    "pretty": range_test(RATES, LOSSES),
    "no steps": range_test([], [], StopReason.DATA_ENDED),
    "one step": range_test([1e-3], [NAN], StopReason.NON_FINITE),
    "three points": range_test([1e-3, 1e-2, 1e-1], [2, 1, 3]),
    "all NaN": range_test(RATES, np.full(200, NAN), StopReason.NON_FINITE),
    "constant": range_test(RATES, np.ones(200), StopReason.COMPLETED),
    "zero": range_test(RATES, np.zeros(200), StopReason.COMPLETED),
    "negative": range_test(*fall_and_explosion(level=-50)),
    "1e30": range_test(RATES, np.append(LOSSES[:180], 10.0 ** np.arange(11, 31))),
    "NaN tail": range_test(RATES, np.append(LOSSES[:150], np.full(50, INF)), StopReason.NON_FINITE),
    "linear": range_test(np.linspace(1e-3, 1, 200), LOSSES, spacing="linear"),
    "repeats": range_test(RATES, np.stack([LOSSES, LOSSES + 0.1, np.append(LOSSES[:170], np.full(30, NAN))])),
}
