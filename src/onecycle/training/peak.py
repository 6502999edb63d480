"""The search for the peak of a cycle, before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import keras

from onecycle.finding.range_test import find_learning_rate
from onecycle.hyperparameters.optimizer_traits import HIGHEST_NORMALIZED_PEAK, normalizes_gradients
from onecycle.keras_support import training_data
from onecycle.keras_support.graph import inputs_of_linear_head
from onecycle.keras_support.optimizers import optimizer_names
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.suggestion import Suggestion
from onecycle.training.cycle_spec import CycleSpec

# For the second attempt: a noisy curve needs more steps, and losses on an unusual scale need wider limits. Only the
# steps of SGD grow with the scale of the loss, so only SGD may need a higher maximum.
WIDER_MIN, WIDER_MAX, WIDER_MAX_OF_SGD, WIDER_STEPS = 1e-8, 10.0, 1e3, 900
# The rule for a loss that fell and never shot up. With such a network any rate of the test trains.
RULE_WITHOUT_BLOW_UP = "steepest"
# For a last layer alone, on frozen ones, and an optimizer that divides by the size of the gradient. Each step changes
# an output by about the rate times the number of inputs, and the loss of a linear model never shoots up. Measured in
# studies/2026-11-28_fine_tuning (head.md).
HEAD_STEP = 6.0
HEAD_RULE = "head"


class RangeTestOptions(TypedDict, total=False):
    """The arguments of the range test besides the data and the rates of layers, as in `find_learning_rate`."""

    batch_size: int | None
    sample_weight: object
    class_weight: dict[int, float] | None
    seed: int | None
    verbose: int | str


def find_peak(
    spec: CycleSpec, model: keras.Model, x: object, y: object, **options: Unpack[RangeTestOptions]
) -> RangeTest | Race | None:
    """Return the result that holds the peak: the given one, or a range test; None for a number or a ready schedule.

    Args:
        spec: The specification of the cycle.
        model: The compiled model, which is left unchanged.
        x: Training data, as `Model.fit` takes it.
        y: Targets, as in `fit`.
        **options: Other arguments of the range test.

    Raises:
        ValueError: If no peak was found, with the reason.
    """
    if isinstance(spec.max_learning_rate, RangeTest | Race):
        return spec.max_learning_rate
    if spec.picker is None:
        return None
    rates = {"layer_rates": spec.layer_rates, "decay": spec.decay}
    return _require_peak(_range_test(model, x, y, rates, **options))


def refuse_one_shot(spec: CycleSpec, x: object) -> None:
    """Raise a ValueError if the search for the peak would use up the first batches of a generator."""
    if spec.finds_peak and training_data.is_one_shot(x):
        raise ValueError(
            f'With `max_learning_rate="{spec.max_learning_rate}"` the search for the peak would use up the first '
            "batches of this generator, and they would be missing in training. Pass data that can be read again, or a "
            "number."
        )


def refuse_to_find_peak_again(spec: CycleSpec, *, continues: bool) -> None:
    """Raise a ValueError if a new peak would be sought for a cycle that continues an earlier training."""
    if continues and spec.finds_peak:
        raise ValueError(
            "With `initial_epoch` and a `total_steps` longer than the remaining epochs, the cycle of an earlier "
            "training is continued, and a new search would find another peak. Pass the peak of that training as "
            f"`max_learning_rate`. Received: max_learning_rate={spec.max_learning_rate!r}"
        )


def _range_test(
    model: keras.Model, x: object, y: object, rates: Mapping[str, Any], **options: Unpack[RangeTestOptions]
) -> RangeTest:
    """Run the range test; if it suggests no rate, once more with wider limits and three times the steps."""
    result = find_learning_rate(model, x, y, **rates, **options)
    normalized = normalizes_gradients(model.optimizer)
    inputs = inputs_of_linear_head(model) if normalized and not result.hints else 0
    if inputs:
        return _for_linear_head(result, inputs)
    if result.suggestion.learning_rate is not None:
        return result
    result = find_learning_rate(
        model,
        x,
        y,
        **rates,
        **options,
        min_learning_rate=WIDER_MIN,
        max_learning_rate=WIDER_MAX if normalized else WIDER_MAX_OF_SGD,
        num_steps=WIDER_STEPS,
    )
    result = _without_blow_up(result)
    peak = result.suggestion.learning_rate
    if normalized and peak is not None and peak > HIGHEST_NORMALIZED_PEAK:
        names = optimizer_names(model.optimizer)
        raise ValueError(
            " ".join(result.hints) + f" The range test suggests {peak:.3g}, but {names} changes each weight by about "
            f"the learning rate in each step, and no network trains with more than {HIGHEST_NORMALIZED_PEAK:g}. Scale "
            "the inputs and the targets, or pass a number as `max_learning_rate`."
        )
    return result


def _for_linear_head(result: RangeTest, inputs: int) -> RangeTest:
    """Return the test with a peak for a last layer that is trained alone, unless the test suggests a lower one."""
    highest, found = HEAD_STEP / inputs, result.suggestion.learning_rate
    if found is not None and found <= highest:
        return result
    reason = f"{HEAD_STEP:g} divided by the {inputs} inputs of the last layer, which is trained alone on frozen layers."
    suggestions = {**result.suggestions, HEAD_RULE: Suggestion(highest, reason)}
    return replace(result, rule=HEAD_RULE, suggestions=suggestions)


def _without_blow_up(result: RangeTest) -> RangeTest:
    """Return the test with another deciding rule if its loss fell clearly and never shot up; else the same test."""
    other = result.suggestions[RULE_WITHOUT_BLOW_UP]
    decided = result.suggestion.learning_rate is not None or result.suggestion.seen_at is not None
    # With a fault in the data, the curve does not show that the network is an easy one.
    if decided or result.hints or other.learning_rate is None:
        return result
    last = result.learning_rates[-1]
    reason = f"The loss did not shoot up at rates up to {last:.3g}. {other.reason}"
    suggestion = Suggestion(other.learning_rate, reason, other.seen_at)
    return replace(
        result, rule=RULE_WITHOUT_BLOW_UP, suggestions={**result.suggestions, RULE_WITHOUT_BLOW_UP: suggestion}
    )


def _require_peak(result: RangeTest) -> RangeTest:
    """Return the test if it suggests a peak; else raise a ValueError with the reason and what the caller can do."""
    if result.suggestion.learning_rate is None:
        # If the data has a fault, advice about the limits of the test would mislead.
        advice = " ".join(result.hints) or f"{result.suggestion.reason} {result.ending}"
        raise ValueError(
            f"No learning rate was found for the peak. {advice} Pass a number as `max_learning_rate`, or call "
            "`find_learning_rate` or `race_learning_rates` with other arguments and pass the result."
        )
    return result
