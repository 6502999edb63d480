"""Rules that read a learning rate off the losses of a range test. Pure: numbers in, a number and a sentence out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle.suggestions.evidence import SKIP_END, Evidence

Array = NDArray[np.float64]


BLOW_UP_DIVISOR = 10.0  # the article (Quijas 2023): "10 times smaller than the value at which the loss starts to rise"


# Ours, on the tuning tasks of studies/2026-11-23_picking_the_rate (steps.md): the divisor that was best there for ramps
# of 60 to 900 steps over seven decades, and how it falls the slower the ramp; the blow-up itself falls as fast.
ONE_CYCLE_DIVISOR, ONE_CYCLE_STEPS, ONE_CYCLE_EXPONENT = 5.0, 43.0, 0.65


ONE_CYCLE_DIVISORS = (2.5, 15.0)  # the divisor stays within what was measured


MINIMUM_DIVISOR = 10.0  # fastai 2.8.12, `minimum`


SLOPE_FRACTION = 0.1  # ours: `steepest` fits a line to this part of the curve; one-step slopes are noise


SLIDE_DISTANCE = 15  # fastai 2.8.12, `slide(lr_diff=15)`


SLIDE_THRESHOLD = 0.005  # fastai 2.8.12, `slide(thresh=.005)`, in units of the loss


@dataclass(frozen=True)
class Suggestion:
    """A learning rate, or None, and always the reason.

    Attributes:
        learning_rate: float > 0, or None where no number is believed.
        reason: one or two sentences for people: where the number comes from, or what to do to get one.
        seen_at: float or None, the rate on the curve that the number rests on (the blow-up, the minimum).
    """

    learning_rate: float | None
    reason: str
    seen_at: float | None = None


Rule = Callable[[ArrayLike, ArrayLike], Suggestion]


def one_cycle(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """The peak for 1cycle: the blow-up over a divisor that knows how fast the rate rose. The default.

    A loss takes some steps to shoot up, and meanwhile the rate rises: the faster the ramp, the higher the rate at
    which it is seen to. So the divisor is 5 for a ramp of 43 steps a decade, which is that of `find_learning_rate`,
    and (43 / steps a decade) ** 0.65 times that for others: 10, the article's tenth, for 14 steps a decade.
    Where the loss shoots up, and when there is None, is as in `blow_up`; so are arguments and errors.

    References: studies/2026-11-23_picking_the_rate, on tasks that chose the divisor and on others.
    """
    return _below_blow_up(learning_rates, losses, one_cycle_divisor)


def one_cycle_divisor(learning_rates: Array, step: int) -> float:
    """What `one_cycle` divides the blow-up by where the loss shoots up at this step, >= 1, of a ramp."""
    steps_a_decade = float(np.log(10) / np.log(learning_rates[step] / learning_rates[step - 1]))
    divisor = ONE_CYCLE_DIVISOR * (ONE_CYCLE_STEPS / steps_a_decade) ** ONE_CYCLE_EXPONENT
    return float(np.clip(divisor, *ONE_CYCLE_DIVISORS))


def blow_up(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """A tenth of the first rate at which the smoothed loss shoots up: the article's rule.

    The loss has shot up at the first step after its minimum where the smoothed loss lies above the minimum by
    more than a twentieth of the descent from its starting level and by more than five and a half standard errors,
    and from where it stays above for most of the next two smoothing windows. So a network that dies (its loss climbs
    back to where it began, or to that of guessing, and stays there) counts, as does a loss that becomes NaN; a bad
    batch does not. None where the loss never shot up, where it did so at once, and where it never fell before: then
    the test cannot tell a healthy network from one that died long before its loss exploded.

    Args:
        learning_rates: float array, (n,), positive and strictly increasing.
        losses: float array, (n,) or (repeats, n), true per-batch losses; NaN and infinities allowed.

    Raises:
        ValueError: if the rates do not increase, or the shapes do not fit.

    References: J. Quijas, 1Cycle Learning Rate Scheduling with TensorFlow and Keras, Towards AI, 2023.
    """
    return _below_blow_up(learning_rates, losses, lambda rates, step: BLOW_UP_DIVISOR)


def minimum(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """A tenth of the rate at which the smoothed loss is lowest (fastai's `minimum`, on our smoothing).

    None where the loss never descended, or is still falling at the end. Arguments and errors as in `blow_up`.
    """
    evidence = Evidence.read(learning_rates, losses)
    trouble = evidence.trouble or evidence.no_descent or evidence.still_falling
    if trouble:
        return Suggestion(None, trouble)
    seen_at = float(evidence.rates[evidence.lowest])
    return _divided(evidence, seen_at, MINIMUM_DIVISOR, "the rate of the lowest smoothed loss")


def steepest(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """The rate at which the smoothed loss falls fastest over log rate, before its minimum (ignite's idea).

    The slope at a step is that of a line fitted to a tenth of the curve around it; single steps are noise
    (Lightning #21141), and an early spike has no slope after smoothing (Lightning #1767).
    None where the loss never descended. Arguments and errors as in `blow_up`.
    """
    evidence = Evidence.read(learning_rates, losses)
    trouble = evidence.trouble or evidence.no_descent
    if trouble:
        return Suggestion(None, trouble)
    half = max(2, round(SLOPE_FRACTION * len(evidence.rates) / 2))
    centres = np.arange(half, max(evidence.lowest, half + 1))
    slopes = [_slope(np.log(evidence.rates), evidence.smoothed, slice(i - half, i + half + 1)) for i in centres]
    place = int(np.argmin(slopes))
    if place == 0 and len(slopes) > 1:
        return Suggestion(None, "The loss falls fastest at the very start: lower `min_learning_rate`.")
    rate = float(evidence.rates[centres[place]])
    return Suggestion(rate, f"The loss falls fastest at {rate:.3g}.", rate)


def valley(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """The middle of the longest decreasing subsequence of the averaged loss: fastai 2.8.12's default rule.

    As in fastai the losses are averaged with decay 0.98, and the first tenth and the last five points are dropped.
    A spike in the first batches stays in that average for long and can lower the rate tenfold.
    None where the loss never descended. Arguments and errors as in `blow_up`.
    """
    evidence = Evidence.read(learning_rates, losses)
    trouble = evidence.trouble or evidence.no_descent
    if trouble:
        return Suggestion(None, trouble)
    rates, averaged = evidence.as_fastai()
    if len(rates) < 2:
        return Suggestion(None, _TOO_SHORT)
    length, end = _longest_decrease(averaged)
    if length < 2:
        return Suggestion(None, "The averaged loss never falls: lower `min_learning_rate`.")
    # fastai's own start, and its two roundings: `end - length` stands for the first index of the subsequence.
    third = length / 3
    rate = float(rates[max(0, end - length + int(third) + int(third / 2))])
    return _believed(evidence, rate, f"The middle of the longest fall of the averaged loss is at {rate:.3g}.")


def slide(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Where a window sliding down from the highest rate first sees equal slopes at both ends: fastai 2.8.12.

    Its threshold is an absolute 0.005, so unlike the other rules it changes when the loss is multiplied.
    None where the window stops at once or never, which in fastai gives an arbitrary rate or an IndexError.
    Arguments and errors as in `blow_up`.
    """
    evidence = Evidence.read(learning_rates, losses)
    trouble = evidence.trouble or evidence.no_descent
    if trouble:
        return Suggestion(None, trouble)
    rates, averaged = evidence.as_fastai()
    if len(rates) <= SLIDE_DISTANCE:
        return Suggestion(None, _TOO_SHORT)
    slopes = np.gradient(averaged)
    equal = np.abs(slopes[SLIDE_DISTANCE:] - slopes[:-SLIDE_DISTANCE]) <= SLIDE_THRESHOLD
    if not equal.any():
        return Suggestion(None, "The slope of the averaged loss changes everywhere: `slide` finds no place.")
    place = int(np.flatnonzero(equal)[-1]) + 1
    if place + SLIDE_DISTANCE >= len(rates):
        return Suggestion(None, "The averaged loss is even at its end: `slide` has no fall to look behind.")
    rate = float(rates[place])
    return _believed(evidence, rate, f"Going down from the highest rate, the averaged loss evens out at {rate:.3g}.")


DEFAULT_RULE = "one_cycle"


RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.__name__: rule for rule in (one_cycle, blow_up, minimum, steepest, valley, slide)}
)


def find_rule(name: str) -> Rule:
    """Returns the rule of that name; a ValueError lists the names there are."""
    if name not in RULES:
        raise ValueError(f"Argument `rule` must be one of {', '.join(RULES)}. Received: rule={name!r}")
    return RULES[name]


_TOO_SHORT = (
    f"After dropping the first tenth and the last {SKIP_END} points, as fastai does, too few points are left: "
    "raise `num_steps`."
)


def _below_blow_up(
    learning_rates: ArrayLike, losses: ArrayLike, divisor_of: Callable[[Array, int], float]
) -> Suggestion:
    """The blow-up divided, where there is one to be believed."""
    evidence = Evidence.read(learning_rates, losses)
    if evidence.trouble:
        return Suggestion(None, evidence.trouble)
    step = evidence.blow_up_step()
    if step is None:
        missing = f"The loss did not shoot up by {evidence.last_rate:.3g}: raise `max_learning_rate`."
        return Suggestion(None, evidence.no_descent or missing)
    seen_at, divisor = float(evidence.all_rates[step]), divisor_of(evidence.all_rates, step)
    if evidence.no_descent and seen_at / divisor >= evidence.all_rates[0]:
        # A network that died far below this rate looks the same, so a tenth of it may already ruin a run.
        return Suggestion(None, f"The loss shoots up at {seen_at:.3g}, but: {evidence.no_descent}", seen_at)
    return _divided(evidence, seen_at, divisor, "the blow-up, where the loss shoots up")


def _divided(evidence: Evidence, seen_at: float, divisor: float, what: str) -> Suggestion:
    """The suggestion seen_at / divisor, unless that is a rate the test has not seen."""
    rate = seen_at / divisor
    if rate < evidence.all_rates[0]:
        reason = (
            f"1/{divisor:.2g} of {what} ({seen_at:.3g}), lies below the lowest rate tested: lower `min_learning_rate`."
        )
        return Suggestion(None, reason, seen_at)
    return Suggestion(rate, f"1/{divisor:.2g} of {what} ({seen_at:.3g}).", seen_at)


def _believed(evidence: Evidence, rate: float, reason: str) -> Suggestion:
    """The suggestion of that rate, unless the loss has already shot up there."""
    step = evidence.blow_up_step()
    if step is not None and rate >= evidence.all_rates[step]:
        return Suggestion(None, f"The rule points at {rate:.3g}, where the loss has already shot up.", rate)
    return Suggestion(rate, reason, rate)


def _slope(x: Array, y: Array, window: slice) -> float:
    dx = x[window] - x[window].mean()
    return float(dx @ y[window] / (dx @ dx))


def _longest_decrease(values: Array) -> tuple[int, int]:
    """Length and last index of the longest strictly decreasing subsequence, the first of equals; O(n^2)."""
    lengths = np.ones(len(values), dtype=np.int_)
    for i in range(1, len(values)):
        longer = lengths[:i][values[:i] > values[i]]
        lengths[i] = 1 + (longer.max() if len(longer) else 0)
    end = int(np.argmax(lengths))
    return int(lengths[end]), end
