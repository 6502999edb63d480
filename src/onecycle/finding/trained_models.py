"""A range test of a model that is already trained, whose loss cannot fall any more."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from onecycle.keras_support.guessing import guessing_loss
from onecycle.keras_support.guessing_targets import guessing_loss_of_targets
from onecycle.keras_support.types import Nested
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.rules import DEFAULT_RULE, trained_model
from onecycle.suggestions.smoothing import median_over_repeats
from onecycle.suggestions.suggestion import Suggestion

# Ours: the part of the loss of guessing below which a loss shows that something was learned. Networks that are not
# trained start at the loss of guessing, or above.
TRAINED_FRACTION = 0.85
ZERO_FRACTION = 1e-9  # below this part, a loss is zero but for rounding, and there is nothing left to learn
START = 0.1  # the part of the ramp whose rates are too low to change the loss


def for_trained_model(result: RangeTest, model: keras.Model, y: Nested, *weights: Nested) -> RangeTest:
    """Return the test with the suggestion for a trained model, if the model is one and the default rule gives none.

    If the loss is zero but for rounding, no rule suggests a rate.

    Args:
        result: The test.
        model: The model.
        y: The targets, if they are arrays.
        *weights: Weights of rows and of classes. If there are any, the loss of guessing is unknown.
    """
    if result.rule != DEFAULT_RULE or result.hints or any(one is not None for one in weights):
        return result
    guessing = guessing_loss(model) or guessing_loss_of_targets(model, y)
    start = _loss_at_the_start(result)
    if guessing and start <= ZERO_FRACTION * guessing:
        return _without_suggestions(result, f"Nothing is left to learn: the loss starts at {start:.3g}.")
    if result.suggestion.learning_rate is not None or start >= TRAINED_FRACTION * guessing:
        return result
    found = trained_model(result.learning_rates, result.losses)
    reason = (
        f"The model is already trained: its loss starts at {start:.3g}, where guessing gives {guessing:.3g}. "
        f"{found.reason}"
    )
    suggestion = Suggestion(found.learning_rate, reason, found.seen_at)
    name = trained_model.__name__
    return replace(result, rule=name, suggestions={**result.suggestions, name: suggestion})


def _loss_at_the_start(result: RangeTest) -> float:
    """Return the median loss at rates that are too low to change it; infinity if a loss there is not finite."""
    losses = median_over_repeats(result.losses)
    begin = losses[: max(3, round(START * len(losses)))]
    return float(np.median(begin)) if len(begin) and np.isfinite(begin).all() else np.inf


def _without_suggestions(result: RangeTest, reason: str) -> RangeTest:
    """Return the test with rules that suggest nothing, for one reason."""
    return replace(result, suggestions=dict.fromkeys(result.suggestions, Suggestion(None, reason)))
