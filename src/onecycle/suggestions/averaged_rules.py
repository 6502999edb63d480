"""The rules of fastai that read the exponential average of the losses, with its delay."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from onecycle.suggestions.loss_curve import SKIP_END, LossCurve
from onecycle.suggestions.smoothing import Array
from onecycle.suggestions.suggestion import Suggestion

SLIDE_DISTANCE = 15  # fastai 2.8.12, `slide(lr_diff=15)`
SLIDE_THRESHOLD = 0.005  # fastai 2.8.12, `slide(thresh=.005)`, in units of the loss


def valley(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Suggest the middle of the longest decreasing subsequence of the averaged loss: the default of fastai 2.8.12.

    As in fastai, the losses are averaged with decay 0.98, and the first tenth and the last five points are dropped. A
    spike in the first batches affects this average for a long time and can lower the rate tenfold. There is no
    suggestion if the loss never fell. Arguments and errors are those of `blow_up`.
    """
    curve = LossCurve.from_losses(learning_rates, losses)
    problem = curve.problem or curve.no_descent
    if problem:
        return Suggestion(None, problem)
    rates, averaged = curve.as_fastai()
    if len(rates) < 2:
        return Suggestion(None, _TOO_SHORT)
    length, end = _longest_decrease(averaged)
    if length < 2:
        return Suggestion(None, "The averaged loss never falls: lower `min_learning_rate`.")
    # As in fastai: `end - length` stands for the first index of the subsequence, and two roundings give its middle.
    third = length / 3
    rate = float(rates[max(0, end - length + int(third) + int(third / 2))])
    return _before_blow_up(curve, rate, f"The middle of the longest fall of the averaged loss is at {rate:.3g}.")


def slide(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Suggest the first learning rate, from the highest down, at which a sliding window has equal slopes at its ends.

    This is the rule of fastai 2.8.12. Its threshold is an absolute 0.005, so unlike the other rules it depends on
    the scale of the loss. There is no suggestion if the window stops at once or never; fastai then returns an
    arbitrary rate or raises an IndexError. Arguments and errors are those of `blow_up`.
    """
    curve = LossCurve.from_losses(learning_rates, losses)
    problem = curve.problem or curve.no_descent
    if problem:
        return Suggestion(None, problem)
    rates, averaged = curve.as_fastai()
    if len(rates) <= SLIDE_DISTANCE:
        return Suggestion(None, _TOO_SHORT)
    slopes = np.gradient(averaged)
    equal = np.abs(slopes[SLIDE_DISTANCE:] - slopes[:-SLIDE_DISTANCE]) <= SLIDE_THRESHOLD
    if not equal.any():
        return Suggestion(None, "The slope of the averaged loss changes everywhere: `slide` finds no rate.")
    start = int(np.flatnonzero(equal)[-1]) + 1
    if start + SLIDE_DISTANCE >= len(rates):
        return Suggestion(None, "The averaged loss is flat at its end, so `slide` finds no fall before it.")
    rate = float(rates[start])
    return _before_blow_up(
        curve, rate, f"Going down from the highest rate, the averaged loss levels out at {rate:.3g}."
    )


_TOO_SHORT = (
    f"After dropping the first tenth and the last {SKIP_END} points, as fastai does, too few points are left: "
    "raise `num_steps`."
)


def _before_blow_up(curve: LossCurve, rate: float, reason: str) -> Suggestion:
    """Suggest a rate, unless the loss has already shot up there."""
    step = curve.blow_up_step()
    if step is not None and rate >= curve.all_rates[step]:
        return Suggestion(None, f"The rule suggests {rate:.3g}, where the loss has already shot up.", rate)
    return Suggestion(rate, reason, rate)


def _longest_decrease(values: Array) -> tuple[int, int]:
    """Return length and last index of the longest strictly decreasing subsequence, the first of equals; O(n^2)."""
    lengths = np.ones(len(values), dtype=np.int_)
    for i in range(1, len(values)):
        longer = lengths[:i][values[:i] > values[i]]
        lengths[i] = 1 + (longer.max() if len(longer) else 0)
    end = int(np.argmax(lengths))
    return int(lengths[end]), end
