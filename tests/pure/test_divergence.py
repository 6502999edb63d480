"""The rule that stops a range test."""

import numpy as np
import pytest

from onecycle.suggestions.divergence import DivergenceRule, StopReason


def noise(seed, n=300):
    """Return white noise with standard deviation 1."""
    return np.random.default_rng(seed).standard_normal(n)


def explosion(calm=200, steps=12, factor=1.5, level=2.0):
    """Return a constant loss that then grows by a factor at each step."""
    return np.concatenate([np.full(calm, level), level * factor ** np.arange(1, steps + 1)])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_loss_stops_at_once(value):
    """The first NaN or infinity stops the test at its step, even if it is the first loss."""
    for calm in (0, 1, 30):
        rule = DivergenceRule()
        assert rule.update([2.0] * calm + [value, 2.0]) is StopReason.NON_FINITE
        assert calm == rule.stopped_at


@pytest.mark.parametrize("level", [2.0, 0.0, -50.0, 1e-6, 1e6])
@pytest.mark.parametrize("deviation", [0.0, 0.05, 0.3])
def test_noise_alone_does_not_stop(level, deviation):
    """Neither constant losses nor heavy-tailed noise around any level stop the test."""
    for seed in range(15):
        losses = level + deviation * np.random.default_rng(seed).standard_t(4, 500)
        assert DivergenceRule().update(losses) is None


@pytest.mark.parametrize("level", [2.0, 0.0, -50.0, 1e-6])
@pytest.mark.parametrize("deviation", [0.01, 0.1, 0.5])
def test_explosion_stops_within_a_few_steps(level, deviation):
    """A loss that grows out of its noise by a factor of 1.5 per step stops before it is 100 times its scale away."""
    for seed in range(15):
        scale = max(abs(level), deviation)
        losses = level + deviation * noise(seed, 150)
        losses[100:] += deviation * 1.5 ** np.arange(1, 51)
        rule = DivergenceRule()
        assert rule.update(losses) is StopReason.DIVERGED
        assert rule.stopped_at >= 100
        assert losses[rule.stopped_at] - level < 100 * scale


def test_jump_stops_after_three_bad_batches():
    """A loss that jumps far away and stays there stops the test at the third bad batch."""
    rule = DivergenceRule()
    assert rule.update(np.append(2 + 0.1 * noise(0, 60), np.full(10, 40.0))) is StopReason.DIVERGED
    assert rule.stopped_at == 62


def test_two_spikes_do_not_stop():
    """Two bad batches in a row, however bad, do not stop the test."""
    losses = 2 + 0.1 * noise(0, 200)
    losses[[50, 51, 120]] = 1e9
    assert DivergenceRule().update(losses) is None


def test_high_initial_loss_does_not_stop():
    """Neither the fall from 1000 to 2 nor the rise to 10 after it stops the test."""
    falling = 2 + 998 * np.exp(-np.arange(100) / 5)
    assert DivergenceRule().update(np.append(falling, np.full(50, 10.0))) is None


def test_dead_network_does_not_stop():
    """A loss that climbs back to its initial level and stays there lets the ramp continue."""
    losses = np.concatenate([np.full(50, 2.3), np.linspace(2.3, 1.2, 50), np.full(50, 2.35)])
    assert DivergenceRule().update(losses + 0.1 * noise(3, 150)) is None


def test_chunk_size_has_no_effect():
    """With losses one by one, in sevens or all at once the rule stops at the same step and keeps its reason."""
    losses = explosion()
    stops = []
    for size in (1, 7, len(losses)):
        rule = DivergenceRule()
        for start in range(0, len(losses), size):
            rule.update(losses[start : start + size])
        stops.append((rule.stop_reason, rule.stopped_at))
        assert rule.update([2.0]) is StopReason.DIVERGED
    assert len(set(stops)) == 1


def test_number_is_a_chunk_of_one():
    """A single loss may be passed as a number."""
    assert DivergenceRule().update(float("nan")) is StopReason.NON_FINITE


@pytest.mark.parametrize("reason", StopReason)
def test_stop_reasons_are_sentences(reason):
    """The value of each reason is a sentence for the user."""
    assert reason.value[0].isupper()
    assert reason.value.endswith(".")
