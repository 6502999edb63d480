"""Tests of the rule by which a training has lost what it had learned."""

import numpy as np
import pytest

from onecycle.suggestions.explosion import ExplosionRule
from onecycle.suggestions.lost_progress import AVERAGED, SUSTAINED, LostProgress

GUESSING = float(np.log(10))
RNG = np.random.default_rng(0)
FALLING = 2.3 * np.exp(-np.arange(600) / 100) + 0.1


def lost_at(losses, every=1, high=(), guessing=GUESSING, patience=32):
    """Return the step at which progress was noticed to be lost, and the step since when; None if it never was."""
    progress = LostProgress(guessing, patience)
    for step in range(every - 1, len(losses), every):
        progress.add(float(np.mean(losses[step + 1 - every : step + 1])), step, high=step in high)
        if progress.since is not None:
            return step, progress.since
    return None


HEALTHY = {
    "falling": FALLING,
    "noisy": FALLING * RNG.lognormal(0, 0.4, 600),
    "nothing is learned": GUESSING + RNG.normal(0, 0.3, 600),
    "learned late": np.concatenate([GUESSING + RNG.normal(0, 0.1, 400), FALLING[:200]]),
    "rises at high rates": np.concatenate([FALLING[:200], np.full(200, 0.7 * GUESSING), FALLING[200:400]]),
    "single bad batches": np.where(np.arange(600) % 20 == 3, 1e6, FALLING),
    "a short spike": np.concatenate([FALLING[:200], np.full(SUSTAINED // 2, 5.0), FALLING[200:]]),
    "a small data set": np.where(np.arange(600) % 4 == 0, 2.2, 0.2),
}


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_trainings_lose_nothing(name, every):
    """Noise, a plateau at the start, rises below guessing and short spikes are no loss of progress."""
    assert lost_at(HEALTHY[name], every) is None


@pytest.mark.parametrize("every", [1, 4])
def test_loss_that_rises_to_guessing_is_noticed(every):
    """The average needs some steps to rise, and has to stay high; the first of these steps is found."""
    losses = np.concatenate([FALLING[:200], GUESSING + RNG.normal(0, 0.1, 400)])
    noticed, since = lost_at(losses, every)
    assert 200 <= since <= 200 + 3 * AVERAGED
    assert SUSTAINED <= noticed - since <= SUSTAINED + 4
    assert lost_at(losses, every, guessing=0.0) is None


def test_network_that_died_at_once_is_noticed():
    """A loss that was high and then stays at guessing is noticed; one that falls on, or was never high, is not."""
    dead = np.concatenate([[2.3, 50.0, 9.0], GUESSING + RNG.normal(0, 0.05, 300)])
    noticed, since = lost_at(dead, high={1, 2})
    assert since == 1
    assert noticed < 80
    assert lost_at(dead) is None
    slow = np.concatenate([[2.3, 50.0, 9.0], 100 * np.exp(-np.arange(300) / 40), FALLING])
    assert lost_at(slow, high={1, 2}, patience=len(slow) // 8) is None


def test_no_average_is_high_for_a_single_batch():
    """A batch counts with three times the average or guessing at most, so that it does not decide."""
    progress = LostProgress(GUESSING, patience=32)
    for step, loss in enumerate([*FALLING[:300], 1e30, *FALLING[300:]]):
        progress.add(loss, step, high=loss > 100)
    assert progress.since is None


def test_rule_of_the_guard_gives_the_reason():
    """`ExplosionRule` follows the progress, forgets it when a state is restored, and stops when that is accepted."""
    losses = np.concatenate([np.full(100, 0.2), np.full(100, GUESSING)])
    rule = ExplosionRule(GUESSING)
    assert not any(rule.check(loss, step) for step, loss in enumerate(losses))
    assert 100 <= rule.away_since < 150
    assert "near that of guessing" in rule.away_reason
    rule.go_back(90)
    assert rule.away_since is None
    rule.expect_nothing()
    assert not any(rule.check(loss, step) for step, loss in enumerate(losses, start=90))
    assert rule.away_since is None


def test_own_training_steps_are_not_followed():
    """The losses of a model's own `train_step`, such as a GAN's, may rise to anything."""
    rule = ExplosionRule(GUESSING, own_step=True)
    for step, loss in enumerate(np.concatenate([np.full(100, 0.2), np.full(100, GUESSING)])):
        rule.check(loss, step)
    assert rule.away_since is None
