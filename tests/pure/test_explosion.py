"""Tests of the rule by which a loss has exploded."""

import numpy as np
import pytest

from onecycle.suggestions.explosion import EARLY_SUSTAINED, EXPLOSION_FACTOR, HIGH_STEPS, ExplosionRule
from onecycle.suggestions.loss_return import BACK_WITHIN


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
    "steps that are too large at first": np.concatenate([[1.0], 300 * 0.7 ** np.arange(40), np.ones(200)]),
    "far too large first steps": np.concatenate([[1.0], 50.0 * np.ones(14), FALLING]),
    "spike that falls": np.concatenate([np.ones(300), 1e5 * 0.4 ** np.arange(15), np.ones(300)]),
    "oscillation": 1 + 0.9 * np.sin(np.arange(2000) / 30),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_no_alarm_in_healthy_trainings(name):
    """Noise, heavy tails, noisy starts, negative losses, single bad batches and oscillations are no explosion."""
    assert exploded_at(HEALTHY[name]) is None


def test_fine_tuning_that_rises_to_guessing_has_lost_its_progress():
    """A classifier that begins at a small loss and loses all that it knew has not exploded, but lost its progress."""
    losses = np.concatenate([np.full(20, 0.01), np.linspace(0.01, 2.3, 50), np.full(500, 2.3)])
    rule = ExplosionRule(np.log(10))
    assert not any(rule.check(loss, step) for step, loss in enumerate(losses))
    assert rule.away_since is not None
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


def test_divergence_from_the_start_is_noticed():
    """Extreme losses from the second step on are an explosion after 16, and at once beyond any doubt."""
    assert exploded_at([1.0] + [1e4] * 50) == EARLY_SUSTAINED
    assert exploded_at(1e3 ** np.arange(12.0)) < 7


def away_at(losses, rule=None):
    """Return the step at which the rule says that the losses do not come back, or None. None may explode."""
    rule = rule or ExplosionRule()
    for step, loss in enumerate(losses):
        assert not rule.check(loss, step)
        if rule.away_since is not None:
            return step
    return None


@pytest.mark.parametrize(("afterwards", "noticed"), [(0.1, False), (0.9, True)])
def test_loss_has_to_come_back_after_an_extreme_one(afterwards, noticed):
    """A network that is damaged by one step stays near the loss of its start; a single bad batch is soon forgotten."""
    start, later = np.linspace(1.0, 0.1, 100), np.full(100, afterwards)
    found = away_at(np.concatenate([start, [1e3], later]))
    assert (found == 100 + BACK_WITHIN) if noticed else (found is None)
    assert away_at(np.concatenate([start, later])) is None


def test_loss_has_to_stay_low_after_a_divergence():
    """After a rescue that lowers the rate, a loss that rises to that of the start is a divergence again."""
    rule = ExplosionRule()
    assert away_at(np.linspace(1.0, 0.1, 100), rule) is None
    rule.go_back(80, lowered_at=100)
    losses = np.concatenate([np.full(80, 0.2), np.full(40, 0.9)])
    steps = [step for step, loss in enumerate(losses) if rule.check(loss, 100 + step) or rule.away_since is not None]
    assert steps
    assert 80 < steps[0] <= 80 + BACK_WITHIN
    rule.expect_nothing()
    assert rule.away_since is None


def test_loss_of_guessing_is_no_usual_loss():
    """A regression that begins far above the variance of its targets, and is at that, has nothing to go back to."""
    rule = ExplosionRule(guessing=84.0)
    assert away_at(np.concatenate([np.geomspace(600, 15, 100), np.full(50, 15.0)]), rule) is None
    assert 15 < rule.normal_up_to < 84
