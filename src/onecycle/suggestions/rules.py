"""Rules that suggest a learning rate from the losses of a range test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from onecycle.suggestions.arguments import check_learning_rate, described
from onecycle.suggestions.averaged_rules import slide, valley
from onecycle.suggestions.loss_curve import LossCurve
from onecycle.suggestions.smoothing import Array
from onecycle.suggestions.suggestion import Rule, Suggestion

BLOW_UP_DIVISOR = 10.0  # the article (Quijas 2023): "10 times smaller than the value at which the loss starts to rise"

# Ours, from the tuning tasks of studies/2026-11-23_picking_the_rate (steps.md): the best divisor there for ramps of 60
# to 900 steps over seven decades. It is smaller for slower ramps, as the rate of the blow-up is.
ONE_CYCLE_DIVISOR, ONE_CYCLE_STEPS, ONE_CYCLE_EXPONENT = 5.0, 43.0, 0.65
ONE_CYCLE_DIVISORS = (2.5, 15.0)  # the range of divisors that was measured
# Ours: from the tuning tasks of studies/2026-11-28_fine_tuning.
TRAINED_FACTOR = 3.0
MINIMUM_DIVISOR = 10.0  # fastai 2.8.12, `minimum`
SLOPE_FRACTION = 0.1  # ours: `steepest` fits a line to this part of the curve, as the slope of one step is noise


def one_cycle(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Suggest the peak of a 1cycle schedule: the learning rate of the blow-up, divided by a number.

    This is the default rule. The loss takes some steps to shoot up, and the rate rises in the meantime: the faster the
    ramp, the higher the rate at which the blow-up is visible. So the divisor depends on the speed of the ramp. It is 5
    for 43 steps per decade, the default of `find_learning_rate`, and `5 * (43 / steps_per_decade) ** 0.65` for others:
    10, the article's divisor, for 14 steps per decade. It stays between 2.5 and 15. `blow_up` defines the blow-up and
    when there is no suggestion.

    Args:
        learning_rates: Float array, `(n,)`, positive and strictly increasing.
        losses: Float array, `(n,)` or `(repeats, n)`, true per-batch losses. NaN and infinities are allowed.

    Returns:
        The suggestion. Its `learning_rate` is None if the losses do not support any; its `reason` says why.

    Raises:
        ValueError: If the rates do not increase or the shapes do not match.

    References:
        `studies/2026-11-23_picking_the_rate` in the repository. The divisor was chosen on some of its tasks and judged
        on the others.
    """
    return _below_blow_up(learning_rates, losses, one_cycle_divisor)


def trained_model(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Suggest the peak of a 1cycle schedule for a model that is already trained, whose loss starts near its floor.

    The loss of such a model hardly falls, and rises where the steps undo what was learned. `one_cycle` suggests nothing
    there, since the curve of a network that has died is the same. This rule is for a model that is known to be trained:
    it divides the rate of the blow-up by three times the divisor of `one_cycle`. Where the loss falls clearly, it
    suggests what `one_cycle` does. `find_learning_rate` uses it by itself if the loss starts below that of guessing.

    Arguments and errors are those of `blow_up`.

    References:
        `studies/2026-11-28_fine_tuning` in the repository.
    """
    if not LossCurve.from_losses(learning_rates, losses).no_descent:
        return one_cycle(learning_rates, losses)
    return _below_blow_up(
        learning_rates, losses, lambda rates, step: TRAINED_FACTOR * one_cycle_divisor(rates, step), is_trained=True
    )


def one_cycle_divisor(learning_rates: Array, step: int) -> float:
    """Return the number by which `one_cycle` divides the rate of the blow-up.

    Args:
        learning_rates: Float array, `(n,)`, rates of the ramp.
        step: Step at which the loss shoots up, at least 1.
    """
    steps_per_decade = float(np.log(10) / np.log(learning_rates[step] / learning_rates[step - 1]))
    divisor = ONE_CYCLE_DIVISOR * (ONE_CYCLE_STEPS / steps_per_decade) ** ONE_CYCLE_EXPONENT
    return float(np.clip(divisor, *ONE_CYCLE_DIVISORS))


def blow_up(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Suggest a tenth of the learning rate at which the smoothed loss shoots up: the article's rule.

    The loss shoots up at the first step after its minimum at which the smoothed loss exceeds the minimum by more than
    a twentieth of the descent and by more than 5.5 standard errors, and stays above for most of the next two smoothing
    windows. This includes a network that dies, whose loss climbs back to its initial level or to that of random
    guessing, and a loss that becomes NaN. A single bad batch does not count.

    There is no suggestion if the loss never shot up, if it shot up at once, or if it never fell before. In the last
    case, the test cannot distinguish a healthy network from one that died long before the blow-up.

    Args:
        learning_rates: Float array, `(n,)`, positive and strictly increasing.
        losses: Float array, `(n,)` or `(repeats, n)`, true per-batch losses. NaN and infinities are allowed.

    Returns:
        The suggestion. Its `learning_rate` is None if the losses do not support any; its `reason` says why.

    Raises:
        ValueError: If the rates do not increase or the shapes do not match.

    References:
        J. Quijas, 1Cycle Learning Rate Scheduling with TensorFlow and Keras, Towards AI, 2023.
    """
    return _below_blow_up(learning_rates, losses, lambda rates, step: BLOW_UP_DIVISOR)


def minimum(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Suggest a tenth of the learning rate with the lowest smoothed loss: fastai's `minimum` with our smoothing.

    There is no suggestion if the loss never fell or is still falling at the end. Arguments and errors are those of
    `blow_up`.
    """
    curve = LossCurve.from_losses(learning_rates, losses)
    problem = curve.problem or curve.no_descent or curve.still_falling
    if problem:
        return Suggestion(None, problem)
    seen_at = float(curve.rates[curve.lowest])
    return _divided(curve, seen_at, MINIMUM_DIVISOR, "the rate of the lowest smoothed loss")


def steepest(learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Suggest the learning rate at which the smoothed loss falls fastest on a logarithmic axis, as ignite does.

    Only the part before the minimum counts. The slope at a step is that of a line fitted to a tenth of the curve
    around it: the slope of a single step is noise (Lightning #21141). Smoothing removes an early spike, so it does not
    have a slope (Lightning #1767). There is no suggestion if the loss never fell. Arguments and errors are those of
    `blow_up`.
    """
    curve = LossCurve.from_losses(learning_rates, losses)
    problem = curve.problem or curve.no_descent
    if problem:
        return Suggestion(None, problem)
    half = max(2, round(SLOPE_FRACTION * len(curve.rates) / 2))
    centers = np.arange(half, max(curve.lowest, half + 1))
    slopes = [_slope(np.log(curve.rates), curve.smoothed, slice(i - half, i + half + 1)) for i in centers]
    index = int(np.argmin(slopes))
    if index == 0 and len(slopes) > 1:
        return Suggestion(None, "The loss falls fastest at the very start: lower `min_learning_rate`.")
    rate = float(curve.rates[centers[index]])
    return Suggestion(rate, f"The loss falls fastest at {rate:.3g}.", rate)


DEFAULT_RULE = "one_cycle"

RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.__name__: rule for rule in (one_cycle, blow_up, minimum, steepest, valley, slide)}
)


def find_rule(name: str) -> Rule:
    """Return the rule with a name.

    Raises:
        ValueError: If there is no such rule. The message lists the names.
    """
    if not isinstance(name, str) or name not in RULES:
        raise ValueError(f"Argument `rule` must be one of {', '.join(RULES)}. Received: rule={described(name)}")
    return RULES[name]


def apply_rule(rule: Rule, learning_rates: ArrayLike, losses: ArrayLike) -> Suggestion:
    """Return what a rule of the user suggests.

    Args:
        rule: The rule.
        learning_rates: Rates, as in `blow_up`.
        losses: Losses, as in `blow_up`.

    Raises:
        RuntimeError: If the rule raises an error. The message names it.
        TypeError, ValueError: If the rule does not return a `Suggestion` with a learning rate or None.
    """
    name = getattr(rule, "__name__", type(rule).__name__)
    try:
        suggestion = rule(learning_rates, losses)
    except Exception as error:
        raise RuntimeError(f"The rule {name} raised {type(error).__name__}: {error}") from error
    if not isinstance(suggestion, Suggestion):
        raise TypeError(
            "The function given as `rule` must return a Suggestion: `onecycle.suggestions.Suggestion(learning_rate, "
            f"reason)`. Received: {described(suggestion)} from {name}"
        )
    if suggestion.learning_rate is not None:
        check_learning_rate(f"learning_rate of the suggestion of {name}", suggestion.learning_rate)
    return suggestion


def _below_blow_up(
    learning_rates: ArrayLike,
    losses: ArrayLike,
    divisor_at: Callable[[Array, int], float],
    *,
    is_trained: bool = False,
) -> Suggestion:
    """Suggest the rate of the blow-up divided by a number.

    Args:
        learning_rates: Rates, as in `blow_up`.
        losses: Losses, as in `blow_up`.
        divisor_at: Function of the rates and the step of the blow-up that returns the divisor.
        is_trained: Whether the model is known to be trained, so that its loss need not fall.
    """
    curve = LossCurve.from_losses(learning_rates, losses)
    if curve.problem:
        return Suggestion(None, curve.problem)
    step = curve.blow_up_step()
    if step is None:
        too_low = f"The loss did not shoot up at rates up to {curve.last_rate:.3g}: raise `max_learning_rate`."
        return Suggestion(None, (not is_trained and curve.no_descent) or too_low)
    seen_at, divisor = float(curve.all_rates[step]), divisor_at(curve.all_rates, step)
    if curve.no_descent and not is_trained and seen_at / divisor >= curve.all_rates[0]:
        # A network that died far below this rate has the same curve, so a tenth of the rate may already ruin a run.
        return Suggestion(
            None, f"The loss shoots up at {seen_at:.3g}, but this is not conclusive. {curve.no_descent}", seen_at
        )
    return _divided(curve, seen_at, divisor, "the blow-up, where the loss shoots up")


def _divided(curve: LossCurve, seen_at: float, divisor: float, description: str) -> Suggestion:
    """Suggest `seen_at / divisor`, unless that lies below the rates of the test.

    Args:
        curve: The range test.
        seen_at: A rate on the curve.
        divisor: What to divide it by.
        description: What is at `seen_at`, for the reason.
    """
    rate = seen_at / divisor
    if rate < curve.all_rates[0]:
        reason = (
            f"1/{divisor:.2g} of {description} ({seen_at:.3g}) would be below the lowest rate tested: "
            "lower `min_learning_rate`."
        )
        return Suggestion(None, reason, seen_at)
    return Suggestion(rate, f"1/{divisor:.2g} of {description} ({seen_at:.3g}).", seen_at)


def _slope(x: Array, y: Array, window: slice) -> float:
    """Return the slope of the least-squares line through a window of a curve."""
    dx = x[window] - x[window].mean()
    return float(dx @ y[window] / (dx @ dx))
