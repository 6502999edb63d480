"""Tests of the rule by which a loss has exploded."""

import numpy as np
import pytest

from onecycle.suggestions.explosion import EXPLOSION_FACTOR, HIGH_STEPS, ExplosionRule


def exploded_at(losses, **arguments):
    """Return the step at which the rule says that the loss has exploded, or None."""
    rule = ExplosionRule(**arguments)
    return next((step for step, loss in enumerate(losses) if rule.check(loss, step)), None)


RNG = np.random.default_rng(0)
FALLING = 2.3 * np.exp(-np.arange(2000) / 300) + 0.1
HEALTHY = {
    "falling": FALLING,
    "noisy": FALLING * RNG.lognormal(0, 0.5, 2000),
    "heavy tails": np.abs(RNG.standard_t(1.5, 2000)) ** 2,
    "noisy start": np.concatenate([[2.3], 2.3 * RNG.uniform(1, 6, 60), FALLING]),
    "negative": -5 + FALLING,
    "falls below zero": 1 - np.arange(2000) / 100,
    "zero": np.zeros(100),
    "single bad batches": np.where(np.arange(2000) % 50 == 20, 1e6, FALLING),
    "back to the start": np.concatenate([FALLING, np.full(500, 2.5)]),
    "oscillation": 1 + 0.9 * np.sin(np.arange(2000) / 30),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_no_alarm_in_healthy_trainings(name):
    """Noise, heavy tails, noisy starts, negative losses, single bad batches and oscillations are no explosion."""
    assert exploded_at(HEALTHY[name]) is None


def test_fine_tuning_may_rise_to_the_loss_of_guessing():
    """A classifier that begins at a small loss may lose all that it knew; without its guessing loss it may not."""
    losses = np.concatenate([np.full(20, 0.01), np.linspace(0.01, 2.3, 50), np.full(500, 2.3)])
    assert exploded_at(losses, guessing=np.log(10)) is None
    assert exploded_at(losses) is not None


@pytest.mark.parametrize("growth", [1.5, 3.0, 1e4])
def test_exponential_growth_is_noticed_at_its_third_extreme_loss(growth):
    """The rule needs three losses in a row above 30 times the level."""
    losses = np.concatenate([np.full(100, 1.0), growth ** np.arange(1, 40)])
    first = int(np.argmax(losses > (1 + EXPLOSION_FACTOR)))
    assert exploded_at(losses) == first + 2


def test_plateau_above_the_start_is_noticed():
    """A loss that stays at four times the level for a hundred steps has exploded; for fewer it has not."""
    start = np.full(50, 1.0)
    assert exploded_at(np.concatenate([start, np.full(HIGH_STEPS, 4.0)])) == 50 + HIGH_STEPS - 1
    assert exploded_at(np.concatenate([start, np.full(HIGH_STEPS - 1, 4.0), start])) is None


def test_own_step_may_rise_further():
    """The losses of a GAN may stay high, and only extreme ones are an explosion."""
    losses = np.concatenate([np.full(50, 1.0), np.full(500, 60.0)])
    assert exploded_at(losses) == 52
    assert exploded_at(losses, own_step=True) is None
    assert exploded_at(losses * np.where(np.arange(550) < 300, 1, 10), own_step=True) == 302


def test_going_back_forgets_the_losses_since_then():
    """After an early state is restored, the levels are those of then."""
    rule, other = ExplosionRule(), ExplosionRule()
    assert not any(rule.check(loss, step) for step, loss in enumerate([1.0, 1.1, 2.9, 2.8, 2.9, 2.7, 100.0, 100.0]))
    rule.go_back(2)
    assert not any(other.check(loss, step) for step, loss in enumerate([1.0, 1.1]))
    assert (rule.suspicious_above, rule.normal_up_to) == (other.suspicious_above, other.normal_up_to)
    assert rule.high_steps == 0
