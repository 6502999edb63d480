"""The suggestion rules, on curves with known answers."""

import numpy as np
import pytest

from onecycle.suggestions import (
    RULES,
    Suggestion,
    blow_up,
    find_rule,
    minimum,
    one_cycle,
    one_cycle_divisor,
    slide,
    steepest,
    trained_model,
    valley,
)
from onecycle.suggestions.divergence import DivergenceRule
from onecycle.suggestions.smoothing import exponential_moving_average

SEEDS = range(25)
BLOW_UP = 0.5
FALL = 1e-2
SCALE_FREE = [rule for name, rule in RULES.items() if name != "slide"]  # slide's threshold is absolute


def curve(n=300, noise=0.1, seed=0, *, dies=False, stopped=True, start=2.3, bottom=0.8, blow_up_at=BLOW_UP):
    """Return rates and losses: a plateau, a smooth fall around FALL, then an explosion or a dead network.

    Args:
        n: Number of steps.
        noise: Standard deviation of the batch noise.
        seed: Seed of the noise.
        dies: Whether the loss climbs back to its start from `blow_up_at` on (a dead network) instead of exploding.
        stopped: Whether the curve ends where the divergence rule stops it.
        start: Initial loss.
        bottom: Lowest loss.
        blow_up_at: Rate from which the loss rises, or None.
    """
    rates = np.geomspace(1e-6, 10, n)
    log_rates = np.log10(rates)
    losses = bottom + (start - bottom) / (1 + np.exp(4.4 * (log_rates - np.log10(FALL))))
    over = np.maximum(0, log_rates - np.log10(blow_up_at)) if blow_up_at else np.zeros(n)
    depth = start - bottom
    climb = np.minimum(3 * depth * over, start - losses) if dies else depth * np.expm1(np.minimum(over * n / 28, 60))
    losses += np.where(over > 0, climb, 0) + noise * np.random.default_rng(seed).standard_normal(n)
    rule = DivergenceRule()
    if stopped and rule.update(losses):
        return rates[: rule.stopped_at + 1], losses[: rule.stopped_at + 1]
    return rates, losses


@pytest.mark.parametrize(
    ("n", "noise", "low", "high"),
    [
        (100, 0.0, 0.9, 1.5),
        (100, 0.1, 0.9, 1.7),
        (100, 0.2, 0.7, 2.1),
        (300, 0.1, 0.9, 1.3),
        (300, 0.3, 0.7, 1.6),
        (1000, 0.3, 0.7, 1.4),
    ],
)
@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_blow_up_finds_the_rate_on_every_seed(n, noise, low, high, dies, stopped):
    """The rule suggests a tenth of the true blow-up within the factors, for an explosion and for a dead network."""
    for seed in SEEDS:
        rate = blow_up(*curve(n, noise, seed, dies=dies, stopped=stopped)).learning_rate
        assert low < rate / (BLOW_UP / 10) < high


def test_blow_up_prefers_none_to_a_wrong_rate_in_heavy_noise():
    """With 100 points and noise of a third of the descent, a suggestion is at most 2.5 times too high."""
    rates = [blow_up(*curve(100, 0.5, seed)).learning_rate for seed in range(60)]
    assert None in rates
    assert all(rate is None or rate < 2.5 * BLOW_UP / 10 for rate in rates)


def test_blow_up_is_not_noise_in_a_long_valley():
    """Noise along a valley of three decades does not count as the blow-up."""
    for seed in SEEDS:
        assert 0.8 < blow_up(*curve(noise=0.2, seed=seed, blow_up_at=8.0)).learning_rate / 0.8 < 1.3


def test_blow_up_with_negative_losses():
    """A loss far below zero gives the same rate as the same loss above zero."""
    rates, losses = curve(stopped=False)
    assert blow_up(rates, losses - 50) == blow_up(rates, losses)


def test_first_nan_without_a_rise_is_the_blow_up():
    """A loss that becomes NaN without a rise before blows up at that step."""
    rates, losses = curve(blow_up_at=None)
    losses[240:] = np.nan
    suggestion = blow_up(rates, losses)
    assert suggestion.seen_at == rates[240]
    assert suggestion.learning_rate == rates[240] / 10


def test_blow_up_without_a_descent_is_no_suggestion():
    """A flat loss that explodes gives no rate, since a dead network has the same curve, but `seen_at` is set."""
    for seed in SEEDS:
        rates, losses = curve(start=1.0, bottom=1.0, blow_up_at=None, noise=0.05, seed=seed)
        losses[260:] += np.expm1(np.arange(40) / 2)
        suggestion = blow_up(rates, losses)
        assert suggestion.learning_rate is None
        assert "shoots up at" in suggestion.reason
        assert 0.5 < suggestion.seen_at / rates[260] < 1.6


def test_blow_up_advises_a_higher_maximum():
    """A curve that falls and stays low has no blow-up, on any seed; the reason says to raise the maximum."""
    for seed in range(100):
        suggestion = blow_up(*curve(noise=0.3, seed=seed, blow_up_at=None))
        assert suggestion.learning_rate is None
        assert "raise `max_learning_rate`" in suggestion.reason


def test_blow_up_advises_a_lower_minimum():
    """A curve that rises from the start gives no rate below those tested; the reason says to lower the minimum."""
    suggestion = blow_up(np.geomspace(1e-2, 10, 100), np.exp(np.arange(100) / 5))
    assert suggestion.learning_rate is None
    assert "lower `min_learning_rate`" in suggestion.reason


def test_minimum_is_a_tenth_of_the_rate_with_the_lowest_loss():
    """On a noisy parabola over the log rate, the minimum is found within a factor of three on every seed."""
    rates = np.geomspace(1e-5, 10, 300)
    for seed in SEEDS:
        losses = (np.log10(rates) + 2) ** 2 + 0.2 * np.random.default_rng(seed).standard_normal(300)
        assert 1 / 3 < minimum(rates, losses).learning_rate / 1e-3 < 3


def test_minimum_at_the_end_is_no_suggestion():
    """The minimum of a falling curve is only the end of the test."""
    assert "raise `max_learning_rate`" in minimum(np.geomspace(1e-5, 1, 100), np.linspace(3, 1, 100)).reason


def test_steepest_is_the_middle_of_the_fall():
    """The rule suggests the middle of the fall within a factor of three on every seed."""
    for seed in SEEDS:
        assert 1 / 3 < steepest(*curve(seed=seed)).learning_rate / FALL < 3


@pytest.mark.parametrize(
    ("steps", "divisor"), [(60, 14.2), (100, 10.25), (300, 5.0), (600, 3.2), (900, 2.5), (40, 15.0)]
)
def test_one_cycle_has_a_smaller_divisor_for_a_slower_ramp(steps, divisor):
    """The divisor is 5 at 43 steps per decade and 10 at 14, and stays within the range that was measured."""
    for seed in range(5):
        rates, losses = curve(steps, 0.0, seed)
        suggestion = one_cycle(rates, losses)
        assert suggestion.seen_at == blow_up(rates, losses).seen_at
        assert suggestion.seen_at / suggestion.learning_rate == pytest.approx(divisor, rel=0.02)


def test_one_cycle_uses_the_speed_of_the_ramp_at_the_blow_up():
    """A linear ramp is slow in decades at its end, so the divisor is small."""
    rates = np.linspace(0.01, 3, 300)
    losses = np.where(rates < 1, 2 - rates, 1 + 30 * (rates - 1))
    suggestion = one_cycle(rates, losses)
    assert suggestion.seen_at == pytest.approx(1.0, rel=0.1)
    assert suggestion.seen_at / suggestion.learning_rate == pytest.approx(2.5)


def test_one_cycle_has_no_suggestion_where_blow_up_has_none():
    """A curve that never fell, one that never shot up and one that shot up at once give None and a reason."""
    for rates, losses in (
        curve(start=1.0, bottom=1.0, blow_up_at=None, noise=0.05),
        curve(noise=0.3, blow_up_at=None),
        (np.geomspace(1e-2, 10, 100), np.exp(np.arange(100) / 5)),
    ):
        suggestion = one_cycle(rates, losses)
        assert (suggestion.learning_rate, blow_up(rates, losses).learning_rate) == (None, None)
        assert suggestion.reason


@pytest.mark.parametrize("rule", [blow_up, minimum, steepest])
def test_early_spike_hardly_changes_our_rules(rule):
    """Two huge losses near the start change no suggestion by more than a fifth (Lightning #1767)."""
    rates, losses = curve(noise=0.05)
    calm = rule(rates, losses).learning_rate
    losses[[5, 6]] = 30.0
    assert rule(rates, losses).learning_rate == pytest.approx(calm, rel=0.2)


@pytest.mark.parametrize("rule", SCALE_FREE)
@pytest.mark.parametrize(("factor", "shift"), [(1000.0, 0.0), (1e-3, 0.0), (1.0, 7.0), (4.0, -30.0)])
def test_scale_of_the_loss_has_no_effect(rule, factor, shift):
    """Multiplying or shifting the losses does not change the suggestion."""
    rates, losses = curve()
    assert rule(rates, losses).learning_rate == rule(rates, factor * losses + shift).learning_rate


@pytest.mark.parametrize("rule", RULES.values())
@pytest.mark.parametrize("factor", [1e-3, 8.0])
def test_suggestion_scales_with_the_rates(rule, factor):
    """Multiplying all rates multiplies the suggestion."""
    rates, losses = curve()
    assert rule(factor * rates, losses).learning_rate == pytest.approx(factor * rule(rates, losses).learning_rate)


@pytest.mark.parametrize("rule", RULES.values())
@pytest.mark.parametrize(
    "losses",
    [
        [],
        [2.0, 1.0, 3.0],
        np.full(100, np.nan),
        np.full(100, 0.5),
        np.zeros(100),
        np.linspace(1, 5, 100),
        np.append(np.full(4, 2.0), np.full(96, np.inf)),
        2 + 0.2 * np.random.default_rng(0).standard_normal(300),
    ],
    ids=["empty", "three", "nan", "constant", "zero", "rising", "broken at once", "noise"],
)
def test_curve_without_evidence_gives_no_suggestion(rule, losses):
    """Such a curve gives None and a sentence, neither an exception nor a rate."""
    suggestion = rule(np.geomspace(1e-4, 1, len(losses)), losses)
    assert suggestion.learning_rate is None
    assert suggestion.reason.endswith(".")


@pytest.mark.parametrize("rule", RULES.values())
def test_suggestion_lies_within_the_rates_tested(rule):
    """On many noisy curves of many lengths, no suggestion leaves the tested range or reaches the blow-up."""
    for n in (20, 40, 100, 300):
        for seed in SEEDS:
            rates, losses = curve(n, 0.3, seed)
            rate, ceiling = rule(rates, losses).learning_rate, blow_up(rates, losses).seen_at
            assert rate is None or rates[0] <= rate < (ceiling or np.inf)


@pytest.mark.parametrize("rule", RULES.values())
def test_repeats_are_reduced_to_their_median(rule):
    """Repeats padded with NaN give the suggestion of their median curve."""
    length = max(len(curve(seed=seed)[0]) for seed in range(3))
    losses = np.full((3, length), np.nan)
    for row, seed in enumerate(range(3)):
        one = curve(seed=seed)[1]
        losses[row, : len(one)] = one
    rates = curve(stopped=False)[0][:length]
    middle = np.median(np.where(np.isnan(losses), np.inf, losses), axis=0)
    assert rule(rates, losses) == rule(rates, middle)


def test_repeats_reduce_the_spread_of_blow_up():
    """Over seeds, the spread of the suggestion is smaller for the median of five repeats than for one run."""
    rates = curve(100, stopped=False)[0]
    runs = np.stack([curve(100, 0.35, seed, stopped=False)[1] for seed in range(100)])
    single = [blow_up(rates, run).learning_rate for run in runs[:20]]
    five = [blow_up(rates, runs[5 * i : 5 * i + 5]).learning_rate for i in range(20)]
    assert five.count(None) <= single.count(None)
    assert np.std(np.log([r for r in five if r])) < np.std(np.log([r for r in single if r]))


def fastai_trim(rates, losses):
    """Return what fastai passes to its rules: the averaged losses without their ends."""
    n = len(losses)
    return rates[n // 10 : -5], exponential_moving_average(losses)[n // 10 : -5]


def fastai_valley(rates, losses):
    """Return the rate of `valley` in fastai 2.8.12, transcribed line by line."""
    n = len(losses)
    max_start = max_end = 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(i):
            if losses[i] < losses[j] and lds[i] < lds[j] + 1:
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
                max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return rates[max_start + int(sections) + int(sections / 2)]


def fastai_slide(rates, losses, lr_diff=15, thresh=0.005):
    """Return the rate of `slide` in fastai 2.8.12, transcribed line by line."""
    loss_grad = np.gradient(losses)
    r_idx = -1
    l_idx = r_idx - lr_diff
    local_min_lr = rates[l_idx]
    while (l_idx >= -len(losses)) and (abs(loss_grad[r_idx] - loss_grad[l_idx]) > thresh):
        local_min_lr = rates[l_idx]
        r_idx -= 1
        l_idx -= 1
    return local_min_lr


@pytest.mark.parametrize(("rule", "oracle"), [(valley, fastai_valley), (slide, fastai_slide)])
def test_fastai_rules_agree_with_fastai(rule, oracle):
    """Where valley and slide suggest a rate, it is the one that fastai's code computes."""
    count = 0
    for n in (60, 100, 300):
        for seed in range(8):
            rates, losses = curve(n, 0.2, seed)
            rate = rule(rates, losses).learning_rate
            count += rate is not None
            assert rate is None or rate == oracle(*fastai_trim(rates, losses))
    assert count >= 4


def test_unknown_rule_is_an_error_with_the_names():
    """The error lists the names of the rules."""
    assert find_rule("blow_up") is blow_up
    with pytest.raises(ValueError, match=r"one_cycle, blow_up, minimum, steepest, valley, slide.*'blowup'"):
        find_rule("blowup")


@pytest.mark.parametrize(
    ("rates", "losses", "message"),
    [
        ([1, 2, 3], [1, 2], "same number of steps"),
        ([1, 1, 2], [1, 2, 3], "increasing"),
        ([0, 1, 2], [1, 2, 3], "positive"),
        ([1, 2], np.ones((2, 2, 2)), "shape"),
    ],
)
def test_arrays_that_do_not_match_are_an_error(rates, losses, message):
    """Rates that do not increase and shapes that do not match are errors."""
    with pytest.raises(ValueError, match=message):
        blow_up(rates, losses)


def test_suggestion_needs_a_rate_and_a_reason():
    """Two positional arguments are enough for a custom rule."""
    assert Suggestion(0.1, "Because.").seen_at is None


@pytest.mark.parametrize("losses", [["a"] * 20, [1j] * 20, [[1.0], [1.0, 2.0]]])
def test_losses_must_be_numbers(losses):
    """Strings, complex numbers and lists of different lengths are refused by name."""
    with pytest.raises(ValueError, match="`losses` must be an array of numbers"):
        RULES["one_cycle"](np.geomspace(1e-3, 1, 20), losses)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("losses", [[], [1.0], [np.nan] * 20], ids=["none", "one", "NaN"])
def test_too_few_losses_give_a_reason(rule, losses):
    """Without enough finite losses there is no suggestion, and the reason says how many there are."""
    suggestion = rule(np.geomspace(1e-3, 1, len(losses)), losses)
    assert suggestion.learning_rate is None
    assert "finite losses" in suggestion.reason


def flat(seed=0, *, noise=0.05, rises_at=0.1):
    """Return rates and losses of a trained model: at its floor, until the steps undo what was learned."""
    rates = np.geomspace(1e-6, 10, 300)
    over = np.maximum(0, np.log10(rates / rises_at))
    return rates, 0.4 + 1.5 * over + noise * np.random.default_rng(seed).standard_normal(300)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trained_model_gets_a_rate_below_its_rise(seed):
    """`one_cycle` cannot tell it from a dead network; `trained_model` divides by three times the divisor."""
    rates, losses = flat(seed)
    found = trained_model(rates, losses)

    assert one_cycle(rates, losses).learning_rate is None
    assert 0.08 < found.seen_at < 0.3
    step = int(np.argmin(np.abs(rates - found.seen_at)))
    assert found.learning_rate == pytest.approx(found.seen_at / (3 * one_cycle_divisor(rates, step)))


def test_a_trained_model_whose_loss_falls_is_as_any_other():
    """A loss that falls clearly decides as in `one_cycle`, and one that never rises gives nothing."""
    falling = curve(seed=1)
    assert trained_model(*falling) == one_cycle(*falling)
    never = trained_model(*flat(rises_at=100))
    assert never.learning_rate is None
    assert "did not shoot up" in never.reason
