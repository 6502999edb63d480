"""The suggestion rules on curves whose answer is known."""

import numpy as np
import pytest

from onecycle.suggestions import RULES, Suggestion, blow_up, find_rule, minimum, one_cycle, slide, steepest, valley
from onecycle.suggestions.divergence import DivergenceRule
from onecycle.suggestions.smoothing import exponential_moving_average

SEEDS = range(25)
BLOW_UP = 0.5
FALL = 1e-2
SCALE_FREE = [rule for name, rule in RULES.items() if name != "slide"]  # slide's threshold is absolute


def curve(n=300, noise=0.1, seed=0, *, dies=False, stopped=True, start=2.3, bottom=0.8, blow_up_at=BLOW_UP):
    """Plateau, a smooth fall around FALL, then an explosion from `blow_up_at` on, or a climb back (a dead network)."""
    rates = np.geomspace(1e-6, 10, n)
    place = np.log10(rates)
    losses = bottom + (start - bottom) / (1 + np.exp(4.4 * (place - np.log10(FALL))))
    over = np.maximum(0, place - np.log10(blow_up_at)) if blow_up_at else np.zeros(n)
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
def test_blow_up_finds_the_place_on_every_seed(n, noise, low, high, dies, stopped):
    """A tenth of the true blow-up, within the stated factors, for an explosion and for a network that dies."""
    for seed in SEEDS:
        rate = blow_up(*curve(n, noise, seed, dies=dies, stopped=stopped)).learning_rate
        assert low < rate / (BLOW_UP / 10) < high


def test_blow_up_says_nothing_rather_than_something_wild_when_the_noise_drowns_the_curve():
    """With 100 points and noise a third of the descent, a number is never more than 2.5 times too high."""
    rates = [blow_up(*curve(100, 0.5, seed)).learning_rate for seed in range(60)]
    assert None in rates
    assert all(rate is None or rate < 2.5 * BLOW_UP / 10 for rate in rates)


def test_blow_up_waits_for_the_end_of_a_long_valley():
    """Noise along three decades of valley bottom is not taken for the blow-up."""
    for seed in SEEDS:
        assert 0.8 < blow_up(*curve(noise=0.2, seed=seed, blow_up_at=8.0)).learning_rate / 0.8 < 1.3


def test_blow_up_reads_negative_losses():
    """A loss far below zero gives the rate that the same loss above zero gives."""
    rates, losses = curve(stopped=False)
    assert blow_up(rates, losses - 50) == blow_up(rates, losses)


def test_blow_up_is_the_first_nan_where_the_loss_breaks_without_a_rise():
    """A loss that turns NaN at a good level blows up at that step, whatever follows it."""
    rates, losses = curve(blow_up_at=None)
    losses[240:] = np.nan
    suggestion = blow_up(rates, losses)
    assert suggestion.seen_at == rates[240]
    assert suggestion.learning_rate == rates[240] / 10


def test_blow_up_does_not_believe_a_curve_that_never_fell():
    """Flat, then an explosion: no number, since a dead network looks the same, but the place is told."""
    for seed in SEEDS:
        rates, losses = curve(start=1.0, bottom=1.0, blow_up_at=None, noise=0.05, seed=seed)
        losses[260:] += np.expm1(np.arange(40) / 2)
        suggestion = blow_up(rates, losses)
        assert suggestion.learning_rate is None
        assert "shoots up at" in suggestion.reason
        assert 0.5 < suggestion.seen_at / rates[260] < 1.6


def test_blow_up_advises_a_higher_maximum_where_the_loss_never_shot_up():
    """A curve that falls and stays down has no blow-up, on any seed."""
    for seed in range(100):
        suggestion = blow_up(*curve(noise=0.3, seed=seed, blow_up_at=None))
        assert suggestion.learning_rate is None
        assert "raise `max_learning_rate`" in suggestion.reason


def test_blow_up_advises_a_lower_minimum_where_the_loss_shoots_up_at_once():
    """A curve that rises from the start gives no number below the rates that were tried."""
    suggestion = blow_up(np.geomspace(1e-2, 10, 100), np.exp(np.arange(100) / 5))
    assert suggestion.learning_rate is None
    assert "lower `min_learning_rate`" in suggestion.reason


def test_minimum_is_a_tenth_of_the_place_of_the_minimum():
    """On a noisy parabola in log rate the minimum is found within a factor of three on every seed."""
    rates = np.geomspace(1e-5, 10, 300)
    for seed in SEEDS:
        losses = (np.log10(rates) + 2) ** 2 + 0.2 * np.random.default_rng(seed).standard_normal(300)
        assert 1 / 3 < minimum(rates, losses).learning_rate / 1e-3 < 3


def test_minimum_is_none_where_the_loss_still_falls_at_the_end():
    """The minimum of a falling curve is only the end of the test."""
    assert "raise `max_learning_rate`" in minimum(np.geomspace(1e-5, 1, 100), np.linspace(3, 1, 100)).reason


def test_steepest_is_the_middle_of_the_fall():
    """The steepest place is where the curve was built to fall, within a factor of three, on every seed."""
    for seed in SEEDS:
        assert 1 / 3 < steepest(*curve(seed=seed)).learning_rate / FALL < 3


@pytest.mark.parametrize(
    ("steps", "divisor"), [(60, 14.2), (100, 10.25), (300, 5.0), (600, 3.2), (900, 2.5), (40, 15.0)]
)
def test_one_cycle_divides_by_less_the_slower_the_ramp(steps, divisor):
    """5 at the default's 43 steps a decade, a tenth at 14, never more or less than was measured."""
    for seed in range(5):
        rates, losses = curve(steps, 0.0, seed)
        found, article = one_cycle(rates, losses), blow_up(rates, losses)
        assert found.seen_at == article.seen_at
        assert found.seen_at / found.learning_rate == pytest.approx(divisor, rel=0.02)


def test_one_cycle_goes_by_the_speed_where_the_loss_shoots_up():
    """Of a ramp in equal differences, which is slow at its end, that is a small divisor."""
    rates = np.linspace(0.01, 3, 300)
    losses = np.where(rates < 1, 2 - rates, 1 + 30 * (rates - 1))
    found = one_cycle(rates, losses)
    assert found.seen_at == pytest.approx(1.0, rel=0.1)
    assert found.seen_at / found.learning_rate == pytest.approx(2.5)


def test_one_cycle_doubts_where_blow_up_doubts():
    """A curve that never fell, one that never shot up, one that shoots up at once: None, and a reason."""
    for rates, losses in (
        curve(start=1.0, bottom=1.0, blow_up_at=None, noise=0.05),
        curve(noise=0.3, blow_up_at=None),
        (np.geomspace(1e-2, 10, 100), np.exp(np.arange(100) / 5)),
    ):
        found = one_cycle(rates, losses)
        assert (found.learning_rate, blow_up(rates, losses).learning_rate) == (None, None)
        assert found.reason


@pytest.mark.parametrize("rule", [blow_up, minimum, steepest])
def test_our_rules_are_not_tricked_by_an_early_spike(rule):
    """Two huge batches near the start move no suggestion by more than a fifth (Lightning #1767)."""
    rates, losses = curve(noise=0.05)
    calm = rule(rates, losses).learning_rate
    losses[[5, 6]] = 30.0
    assert rule(rates, losses).learning_rate == pytest.approx(calm, rel=0.2)


@pytest.mark.parametrize("rule", SCALE_FREE)
@pytest.mark.parametrize(("factor", "shift"), [(1000.0, 0.0), (1e-3, 0.0), (1.0, 7.0), (4.0, -30.0)])
def test_rules_do_not_see_the_scale_of_the_loss(rule, factor, shift):
    """Multiplying the losses or adding to them leaves the suggested rate as it was."""
    rates, losses = curve()
    assert rule(rates, losses).learning_rate == rule(rates, factor * losses + shift).learning_rate


@pytest.mark.parametrize("rule", RULES.values())
@pytest.mark.parametrize("factor", [1e-3, 8.0])
def test_rules_follow_the_scale_of_the_rates(rule, factor):
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
def test_no_rule_believes_a_curve_that_says_nothing(rule, losses):
    """Such a curve gives None and a sentence, not an exception and not a number."""
    suggestion = rule(np.geomspace(1e-4, 1, len(losses)), losses)
    assert suggestion.learning_rate is None
    assert suggestion.reason.endswith(".")


@pytest.mark.parametrize("rule", RULES.values())
def test_a_suggestion_lies_within_the_rates_tried(rule):
    """Over many noisy curves of many lengths no number leaves the tested range, or reaches the blow-up."""
    for n in (20, 40, 100, 300):
        for seed in SEEDS:
            rates, losses = curve(n, 0.3, seed)
            rate, ceiling = rule(rates, losses).learning_rate, blow_up(rates, losses).seen_at
            assert rate is None or rates[0] <= rate < (ceiling or np.inf)


@pytest.mark.parametrize("rule", RULES.values())
def test_rules_read_the_median_of_repeats(rule):
    """Repeats padded with NaN give what their median curve gives."""
    length = max(len(curve(seed=seed)[0]) for seed in range(3))
    losses = np.full((3, length), np.nan)
    for row, seed in enumerate(range(3)):
        one = curve(seed=seed)[1]
        losses[row, : len(one)] = one
    rates = curve(stopped=False)[0][:length]
    middle = np.median(np.where(np.isnan(losses), np.inf, losses), axis=0)
    assert rule(rates, losses) == rule(rates, middle)


def test_repeats_make_blow_up_steadier():
    """The spread of the suggestion over seeds is smaller for the median of five repeats than for one run."""
    rates = curve(100, stopped=False)[0]
    runs = np.stack([curve(100, 0.35, seed, stopped=False)[1] for seed in range(100)])
    single = [blow_up(rates, run).learning_rate for run in runs[:20]]
    five = [blow_up(rates, runs[5 * i : 5 * i + 5]).learning_rate for i in range(20)]
    assert five.count(None) <= single.count(None)
    assert np.std(np.log([r for r in five if r])) < np.std(np.log([r for r in single if r]))


def fastai_trim(rates, losses):
    """What fastai hands to its rules: the averaged losses without their ends."""
    n = len(losses)
    return rates[n // 10 : -5], exponential_moving_average(losses)[n // 10 : -5]


def fastai_valley(rates, losses):
    """fastai 2.8.12, `valley`, line by line."""
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
    """fastai 2.8.12, `slide`, line by line."""
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
def test_fastai_rules_give_fastai_numbers(rule, oracle):
    """Where valley and slide give a number, it is the one that fastai's own code gives."""
    numbers = 0
    for n in (60, 100, 300):
        for seed in range(8):
            rates, losses = curve(n, 0.2, seed)
            found = rule(rates, losses).learning_rate
            numbers += found is not None
            assert found is None or found == oracle(*fastai_trim(rates, losses))
    assert numbers >= 4


def test_an_unknown_rule_is_refused_with_the_names_there_are():
    """The error names the rules, so that a typing error is mended in one go."""
    assert find_rule("blow_up") is blow_up
    with pytest.raises(ValueError, match=r"one_cycle, blow_up, minimum, steepest, valley, slide.*'blowup'"):
        find_rule("blowup")


@pytest.mark.parametrize(
    ("rates", "losses", "message"),
    [
        ([1, 2, 3], [1, 2], "as many steps"),
        ([1, 1, 2], [1, 2, 3], "increasing"),
        ([0, 1, 2], [1, 2, 3], "positive"),
        ([1, 2], np.ones((2, 2, 2)), "shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(rates, losses, message):
    """Rates that do not rise and shapes that do not match are errors, not guesses."""
    with pytest.raises(ValueError, match=message):
        blow_up(rates, losses)


def test_a_suggestion_is_a_number_and_a_reason():
    """Two positional arguments are enough to make one in a rule of one's own."""
    assert Suggestion(0.1, "Because.").seen_at is None
