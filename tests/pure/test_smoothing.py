"""Smoothing of per-batch losses."""

import numpy as np
import pytest

from onecycle.suggestions import smoothing
from onecycle.suggestions.smoothing import (
    exponential_moving_average,
    half_window,
    median_over_repeats,
    noise_scale,
    smooth,
)

SEEDS = range(40)
NAN = np.nan


def noise(seed, n=300):
    """Return white noise with standard deviation 1."""
    return np.random.default_rng(seed).standard_normal(n)


def test_constant_is_unchanged():
    """A constant loss is returned bit for bit."""
    np.testing.assert_array_equal(smooth(np.full(50, 0.1)), np.full(50, 0.1))


def test_most_noise_is_removed():
    """Of white noise on 300 points, at most 0.4 of the standard deviation is left; the mean is unchanged."""
    smoothed = [smooth(3 + 0.2 * noise(seed)) for seed in SEEDS]
    assert np.mean([np.std(curve) for curve in smoothed]) < 0.4 * 0.2
    assert abs(np.mean(smoothed) - 3) < 0.01


def test_smoothing_does_not_lag():
    """In the interior, a noisy straight line is shifted by less than one step on average."""
    line = np.linspace(5, 1, 300)
    shifts = [(smooth(line + 0.1 * noise(seed)) - line)[20:-20].mean() for seed in SEEDS]
    assert abs(np.mean(shifts)) < 4 / 299


def test_explosion_does_not_leak_into_steps_before_it():
    """Up to the last calm step the smoothed loss stays within the noise, though 1e30 follows within the window."""
    for seed in SEEDS:
        losses = 2 + 0.1 * noise(seed, 212)
        losses[200:] = 10.0 ** np.linspace(1, 30, 12)
        assert smooth(losses)[:200].max() < losses[:200].max()
        assert smooth(losses)[201] > 5


def test_single_spike_has_no_effect():
    """A batch with a thousand times the loss moves the curve by less than the noise."""
    losses = 2 + 0.1 * noise(0)
    spiked = losses.copy()
    spiked[150] = 2000
    assert np.abs(smooth(spiked) - smooth(losses)).max() < 0.1


def test_smoothed_loss_is_nan_exactly_where_loss_is_not_finite():
    """NaN and infinities are ignored, and the other losses are smoothed as if they were absent."""
    losses = 2 + 0.1 * noise(1, 100)
    broken = np.insert(losses, [10, 50, 100], [NAN, np.inf, -np.inf])
    smoothed = smooth(broken)
    np.testing.assert_array_equal(np.isnan(smoothed), ~np.isfinite(broken))
    np.testing.assert_array_equal(smoothed[np.isfinite(broken)], smooth(losses))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 10])
def test_any_length_can_be_smoothed(n):
    """Curves shorter than a window keep their length and their range."""
    losses = np.arange(float(n))
    smoothed = smooth(losses)
    assert smoothed.shape == (n,)
    assert n == 0 or (smoothed.min() >= losses.min() and smoothed.max() <= losses.max())


@pytest.mark.parametrize("n", [2, 7, 300, 2000])
def test_curve_is_smoothed_block_by_block(monkeypatch, n):
    """The windows of long curves are not in memory all at once, which changes no result: those of a literal loop."""
    losses, half = 3 + noise(2, n), half_window(n)
    monkeypatch.setattr(smoothing, "MAX_BLOCK", 500)
    blocks = smoothing._blocks(n, half)
    assert [step for block in blocks for step in range(block.start, block.stop)] == list(range(n))
    assert max((block.stop - block.start) * (2 * half + 1) for block in blocks) <= 500 or half > 250
    medians = []
    for step in range(n):
        reach = max(1, min(step, n - 1 - step, half))
        medians.append(np.median(losses[max(step - reach, 0) : step + reach + 1]))
    np.testing.assert_array_equal(smoothing._running_median(losses, half), medians)
    smoothed, scale = smooth(losses), noise_scale(losses)
    monkeypatch.undo()
    np.testing.assert_array_equal(smooth(losses), smoothed)
    assert noise_scale(losses) == scale


def test_smoothing_is_equivariant():
    """Scaling and shifting the losses scales and shifts the curve."""
    losses = 2 + 0.1 * noise(2)
    np.testing.assert_allclose(smooth(7 * losses - 50), 7 * smooth(losses) - 50, rtol=1e-10)


@pytest.mark.parametrize(("n", "half"), [(1, 1), (10, 1), (100, 4), (300, 10), (1000, 25)])
def test_window_grows_with_number_of_points(n, half):
    """The half window is a tenth of n to the power of 0.8, and at least one."""
    assert half == half_window(n)


def test_noise_scale_is_standard_deviation_without_explosion():
    """White noise of 0.3 is measured to 15 % on average over seeds, even with an explosion at the end."""
    measured = [noise_scale(np.append(2 + 0.3 * noise(seed), 2.0 ** np.arange(1, 30))) for seed in SEEDS]
    assert np.mean(measured) == pytest.approx(0.3, rel=0.15)


def test_moving_average_is_debiased():
    """For decay 0.5, by hand: 4, (0.25*4 + 0.5*1) / 0.75 = 2, and NaN from the first NaN on."""
    np.testing.assert_allclose(exponential_moving_average([4, 1, NAN, 1], 0.5), [4, 2, NAN, NAN])


def test_decay_of_one_is_an_error():
    """A decay of one would divide by zero."""
    with pytest.raises(ValueError, match="Argument `decay`"):
        exponential_moving_average([1.0], 1.0)


def test_median_over_repeats_ends_where_half_of_them_ended():
    """The remaining repeats do not pull the curve down."""
    np.testing.assert_array_equal(median_over_repeats([[1, 2, 9, NAN], [3, 4, NAN, NAN], [2, 1, 1, 1]]), [2, 2, 9, NAN])
    np.testing.assert_array_equal(median_over_repeats([[1.0, NAN], [3.0, 3.0]]), [2, NAN])


@pytest.mark.parametrize("function", [smooth, noise_scale, exponential_moving_average])
def test_two_dimensional_losses_are_an_error(function):
    """These functions smooth one curve; repeats are reduced to their median first."""
    with pytest.raises(ValueError, match=r"`losses` must have shape \(n,\)"):
        function(np.ones((2, 3)))
