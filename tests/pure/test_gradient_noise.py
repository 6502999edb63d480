"""The gradient noise scale: without bias, with an honest interval, and the times that follow from it."""

import math

import numpy as np
import pytest

from onecycle.suggestions.gradient_noise import gradient_noise_scale, relative_samples, relative_times

LENGTH, ROWS = 50, 8


def products(true_scale, batches, seed):
    """Return the products of gradients of normal rows around a gradient of norm 1, and the true noise scale."""
    random = np.random.default_rng(seed)
    gradient = np.zeros(LENGTH)
    gradient[0] = 1.0
    rows = random.normal(0.0, math.sqrt(true_scale / LENGTH), (batches, ROWS, LENGTH))
    gradients = gradient + rows.mean(axis=1)
    return gradients @ gradients.T


def literal(matrix, rows):
    """Return the noise scale by loops, as the formulas are written."""
    n = len(matrix)
    signal = sum(matrix[i][j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    norms = sum(matrix[i][i] for i in range(n)) / n
    return rows * (norms - signal) / signal


def test_the_estimate_equals_the_formulas():
    """The value is that of the formulas, written as loops."""
    matrix = products(20.0, 12, seed=0)
    assert gradient_noise_scale(matrix, ROWS).value == pytest.approx(literal(matrix, ROWS), rel=1e-12)


def test_several_points_share_one_estimate():
    """Of several points, |G|^2 and tr(S) are the means over the points: here one gradient is twice the other."""
    matrix = products(20.0, 12, seed=0)
    both = gradient_noise_scale([matrix, 4 * matrix], ROWS)
    assert both.value == pytest.approx(literal(matrix, ROWS), rel=1e-12)
    other = products(80.0, 12, seed=1)
    signal = [sum(m[i][j] for i in range(12) for j in range(12) if i != j) / 132 for m in (matrix, other)]
    norms = [np.trace(m) / 12 for m in (matrix, other)]
    expected = ROWS * (sum(norms) - sum(signal)) / sum(signal)
    assert gradient_noise_scale([matrix, other], ROWS).value == pytest.approx(expected, rel=1e-12)


def test_the_parts_are_without_bias_and_the_interval_covers_the_truth():
    """Over 200 measurements, the median is within 5 % of the truth, and the interval covers it in 80 % or more."""
    found = [gradient_noise_scale(products(100.0, 32, seed), ROWS, seed=seed) for seed in range(200)]
    assert np.median([one.value for one in found]) == pytest.approx(100.0, rel=0.05)
    assert np.mean([one.interval[0] <= 100.0 <= one.interval[1] for one in found]) >= 0.8


def test_without_a_gradient_the_scale_is_unbounded():
    """Where the gradient is zero behind the noise, the interval has no upper end."""
    random = np.random.default_rng(0)
    gradients = random.normal(size=(32, LENGTH))
    assert math.isinf(gradient_noise_scale(gradients @ gradients.T, ROWS).interval[1])


def test_too_few_batches_are_an_error():
    """Fewer than eight batches, and products that are not finite, are an error."""
    with pytest.raises(ValueError, match="n >= 8"):
        gradient_noise_scale(np.eye(7), ROWS)
    with pytest.raises(ValueError, match="finite"):
        gradient_noise_scale(np.full((8, 8), np.nan), ROWS)


def test_times_and_samples_follow_the_trade_off():
    """With the noise scale as the batch size, training takes twice the least steps and twice the least samples."""
    sizes = np.array([1, 100, 10000])
    np.testing.assert_allclose(relative_samples(sizes, 100.0), [1.01, 2.0, 101.0])
    # Steps that take the same time for any batch: the number of steps decides.
    np.testing.assert_allclose(relative_times(sizes, [1.0] * 3, 100.0), np.array([101, 2, 1.01]) / 1.01)
    # With nothing but noise, the throughput decides.
    np.testing.assert_allclose(relative_times(sizes, [1.0, 50.0, 20000.0], math.inf), [2.0, 1.0, 4.0])
