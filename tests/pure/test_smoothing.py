"""Smoothing of per-batch losses, and the rule that stops a range test."""

import numpy as np
import pytest

from onecycle.suggestions.divergence import DivergenceRule, StopReason
from onecycle.suggestions.smoothing import (
    exponential_moving_average,
    half_window,
    median_over_repeats,
    noise_scale,
    smooth,
)

SEEDS = range(40)


def noise(seed, n=300):
    """White noise of standard deviation 1."""
    return np.random.default_rng(seed).standard_normal(n)


def explosion(n_calm=200, n_wild=12, factor=1.5, level=2.0):
    """A constant loss that begins to grow by `factor` a step."""
    return np.concatenate([np.full(n_calm, level), level * factor ** np.arange(1, n_wild + 1)])


def test_smooth_leaves_a_constant_exactly_as_it_is():
    """A constant loss comes back bit for bit."""
    np.testing.assert_array_equal(smooth(np.full(50, 0.1)), np.full(50, 0.1))


def test_smooth_removes_most_of_the_noise():
    """Of white noise on 300 points at most 0.4 of the standard deviation stays, and its mean stays."""
    left = [smooth(3 + 0.2 * noise(seed)) for seed in SEEDS]
    assert np.mean([np.std(curve) for curve in left]) < 0.4 * 0.2
    assert abs(np.mean(left) - 3) < 0.01


def test_smooth_does_not_lag():
    """A noisy straight line keeps its place in the interior: no shift of even one step on average."""
    line = np.linspace(5, 1, 300)
    shifts = [(smooth(line + 0.1 * noise(seed)) - line)[20:-20].mean() for seed in SEEDS]
    assert abs(np.mean(shifts)) < 4 / 299


def test_smooth_does_not_blur_an_explosion_into_the_calm_before_it():
    """Up to the last calm step the smoothed loss stays within the noise, though 1e30 follows within the window."""
    for seed in SEEDS:
        losses = 2 + 0.1 * noise(seed, 212)
        losses[200:] = 10.0 ** np.linspace(1, 30, 12)
        assert smooth(losses)[:200].max() < losses[:200].max()
        assert smooth(losses)[201] > 5


def test_smooth_ignores_a_single_spike():
    """One batch a thousand times off moves the curve by less than the noise."""
    losses = 2 + 0.1 * noise(0)
    spiked = losses.copy()
    spiked[150] = 2000
    assert np.abs(smooth(spiked) - smooth(losses)).max() < 0.1


def test_smooth_is_nan_exactly_where_the_loss_is_not_finite():
    """NaN and infinities take no part, and the others are smoothed as if they were not there."""
    losses = 2 + 0.1 * noise(1, 100)
    broken = np.insert(losses, [10, 50, 100], [np.nan, np.inf, -np.inf])
    smoothed = smooth(broken)
    np.testing.assert_array_equal(np.isnan(smoothed), ~np.isfinite(broken))
    np.testing.assert_array_equal(smoothed[np.isfinite(broken)], smooth(losses))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 10])
def test_smooth_takes_any_length(n):
    """Curves shorter than a window come back with their own length and within their own range."""
    losses = np.arange(float(n))
    smoothed = smooth(losses)
    assert smoothed.shape == (n,)
    assert n == 0 or (smoothed.min() >= losses.min() and smoothed.max() <= losses.max())


def test_smooth_is_equivariant():
    """Scaling and shifting the losses scales and shifts the curve."""
    losses = 2 + 0.1 * noise(2)
    np.testing.assert_allclose(smooth(7 * losses - 50), 7 * smooth(losses) - 50, rtol=1e-10)


@pytest.mark.parametrize(("n", "half"), [(1, 1), (10, 1), (100, 4), (300, 10), (1000, 25)])
def test_the_window_grows_with_the_number_of_points(n, half):
    """The half window is a tenth of n to the 0.8, and at least one."""
    assert half == half_window(n)


def test_the_noise_scale_is_the_standard_deviation_and_does_not_see_an_explosion():
    """White noise of 0.3 is measured to 15 % on average over seeds, also with an explosion at the end."""
    measured = [noise_scale(np.append(2 + 0.3 * noise(seed), 2.0 ** np.arange(1, 30))) for seed in SEEDS]
    assert np.mean(measured) == pytest.approx(0.3, rel=0.15)


def test_the_moving_average_is_debiased():
    """Values by hand for decay 0.5: 4, (0.25*4 + 0.5*1) / 0.75 = 2, and NaN from the first NaN on."""
    np.testing.assert_allclose(exponential_moving_average([4, 1, np.nan, 1], 0.5), [4, 2, np.nan, np.nan])


def test_the_moving_average_refuses_a_decay_of_one():
    """A decay of one would divide by zero."""
    with pytest.raises(ValueError, match="Argument `decay`"):
        exponential_moving_average([1.0], 1.0)


def test_the_median_over_repeats_ends_where_half_of_them_are_gone():
    """Survivors of a divergence do not pull the curve back down."""
    nan = np.nan
    np.testing.assert_array_equal(median_over_repeats([[1, 2, 9, nan], [3, 4, nan, nan], [2, 1, 1, 1]]), [2, 2, 9, nan])
    np.testing.assert_array_equal(median_over_repeats([[1.0, nan], [3.0, 3.0]]), [2, nan])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_loss_stops_at_once(value):
    """The first NaN or infinity stops the test at its own step, even as the very first loss."""
    for calm in (0, 1, 30):
        rule = DivergenceRule()
        assert rule.update([2.0] * calm + [value, 2.0]) is StopReason.NON_FINITE
        assert calm == rule.stopped_at


@pytest.mark.parametrize("level", [2.0, 0.0, -50.0, 1e-6, 1e6])
@pytest.mark.parametrize("deviation", [0.0, 0.05, 0.3])
def test_noise_alone_never_diverges(level, deviation):
    """Constant losses, and heavy-tailed noise around any level, are let pass."""
    for seed in range(15):
        losses = level + deviation * np.random.default_rng(seed).standard_t(4, 500)
        assert DivergenceRule().update(losses) is None


@pytest.mark.parametrize("level", [2.0, 0.0, -50.0, 1e-6])
@pytest.mark.parametrize("deviation", [0.01, 0.1, 0.5])
def test_an_explosion_is_caught_within_a_few_steps(level, deviation):
    """A loss that leaves its noise by a factor of 1.5 a step is caught before it is 100 times the scale away."""
    for seed in range(15):
        scale = max(abs(level), deviation)
        losses = level + deviation * noise(seed, 150)
        losses[100:] += deviation * 1.5 ** np.arange(1, 51)
        rule = DivergenceRule()
        assert rule.update(losses) is StopReason.DIVERGED
        assert rule.stopped_at >= 100
        assert losses[rule.stopped_at] - level < 100 * scale


def test_a_jump_is_caught_after_three_bad_batches():
    """A loss that jumps far away and stays there stops the test at the third bad batch."""
    rule = DivergenceRule()
    assert rule.update(np.append(2 + 0.1 * noise(0, 60), np.full(10, 40.0))) is StopReason.DIVERGED
    assert rule.stopped_at == 62


def test_one_or_two_spikes_are_forgiven():
    """Two bad batches in a row, however bad, do not stop the test."""
    losses = 2 + 0.1 * noise(0, 200)
    losses[[50, 51, 120]] = 1e9
    assert DivergenceRule().update(losses) is None


def test_a_loss_that_starts_high_does_not_diverge():
    """A start at 1000 that falls to 2 and wanders there is no divergence, nor is its first rise back to 10."""
    falling = 2 + 998 * np.exp(-np.arange(100) / 5)
    assert DivergenceRule().update(np.append(falling, np.full(50, 10.0))) is None


def test_a_network_that_dies_does_not_diverge():
    """A loss that climbs back to where it began and stays there lets the ramp go on."""
    losses = np.concatenate([np.full(50, 2.3), np.linspace(2.3, 1.2, 50), np.full(50, 2.35)])
    assert DivergenceRule().update(losses + 0.1 * noise(3, 150)) is None


def test_chunks_do_not_matter():
    """Fed one by one, in sevens or at once, the rule stops at the same step, and then keeps its reason."""
    losses = explosion()
    stops = []
    for size in (1, 7, len(losses)):
        rule = DivergenceRule()
        for start in range(0, len(losses), size):
            rule.update(losses[start : start + size])
        stops.append((rule.stop_reason, rule.stopped_at))
        assert rule.update([2.0]) is StopReason.DIVERGED
    assert len(set(stops)) == 1


def test_a_plain_number_is_a_chunk_of_one():
    """A single loss may be given without a list."""
    assert DivergenceRule().update(float("nan")) is StopReason.NON_FINITE


@pytest.mark.parametrize("reason", StopReason)
def test_every_stop_reason_is_a_sentence(reason):
    """Each reason reads as a sentence for people."""
    assert reason.value[0].isupper()
    assert reason.value.endswith(".")
