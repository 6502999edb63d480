"""The search for the peak of a cycle, before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict, TypeVar, Unpack

import keras

from onecycle.finding.range_test import find_learning_rate
from onecycle.finding.sweep import sweep_learning_rates
from onecycle.finding.sweep_budget import SweepTooShortError
from onecycle.hyperparameters.optimizer_traits import HIGHEST_NORMALIZED_PEAK, normalizes_gradients
from onecycle.hyperparameters.scheduling import install_layer_rates
from onecycle.keras_support import training_data
from onecycle.keras_support.graph import inputs_of_linear_head
from onecycle.keras_support.optimizers import optimizer_names
from onecycle.keras_support.snapshot import preserving
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
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

Result = TypeVar("Result", RangeTest, Sweep)


class PickerOptions(TypedDict, total=False):
    """The arguments of both pickers besides the data, as in `find_learning_rate`."""

    batch_size: int | None
    class_weight: dict[int, float] | None
    seed: int | None
    verbose: int | str


def find_peak(
    spec: CycleSpec,
    model: keras.Model,
    x: object,
    y: object,
    *,
    epochs: int,
    steps_per_epoch: int | None = None,
    validation_split: float = 0.0,
    sample_weight: object = None,
    **options: Unpack[PickerOptions],
) -> RangeTest | Race | Sweep | None:
    """Return the result that holds the peak: the given one, or that of a picker; None for a number or a ready schedule.

    Args:
        spec: The specification of the cycle.
        model: The compiled model, which is left unchanged.
        x: Training data, as `Model.fit` takes it.
        y: Targets, as in `fit`.
        epochs: Epochs of the training.
        steps_per_epoch: As in `fit`.
        validation_split: Part of the rows that `fit` will hold out; a sweep does not use them.
        sample_weight: As in `fit`.
        **options: Other arguments of both pickers.

    Raises:
        ValueError: If no peak was found, with the reason, or if the training is too short for a sweep.
    """
    if isinstance(spec.max_learning_rate, RangeTest | Race | Sweep):
        return spec.max_learning_rate
    if spec.picker is None:
        return None
    if spec.picker == "range test":
        rates = {"layer_rates": spec.layer_rates, "decay": spec.decay}
        result = _range_test(model, x, y, rates, sample_weight=sample_weight, **options)
        return _require_peak(result, result.suggestion.learning_rate, f"{result.suggestion.reason} {result.ending}")
    x, y, sample_weight = training_data.without_validation_split((x, y, sample_weight), validation_split)
    try:
        sweep = _sweep(
            spec, model, x, y, sample_weight=sample_weight, epochs=epochs, steps_per_epoch=steps_per_epoch, **options
        )
    except SweepTooShortError as error:
        raise ValueError(
            f'A sweep needs a training of at least {error.needed_steps} steps. Pass `max_learning_rate="range test"` '
            f'or a number. Received: a training of {error.total_steps} steps with max_learning_rate="sweep"'
        ) from error
    return _require_peak(sweep, sweep.pick.learning_rate, sweep.pick.reason)


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
    model: keras.Model,
    x: object,
    y: object,
    rates: Mapping[str, Any],
    *,
    sample_weight: object,
    **options: Unpack[PickerOptions],
) -> RangeTest:
    """Run the range test; if it suggests no rate, once more with wider limits and three times the steps."""
    result = find_learning_rate(model, x, y, sample_weight=sample_weight, **rates, **options)
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
        sample_weight=sample_weight,
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


def _sweep(spec: CycleSpec, model: keras.Model, x: object, y: object, **options: Any) -> Sweep:
    """Run the sweep with the rates of layers, which it leaves as they were."""

    def run() -> Sweep:
        install_layer_rates(model, spec.layer_rates_of(model))
        return sweep_learning_rates(model, x, y, momentum=spec.momentum, schedule=spec.schedule, **options)

    return run() if spec.layer_rates is None else preserving(model, run, data=x)


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


def _require_peak(result: Result, peak: float | None, reason: str) -> Result:
    """Return the result if it has a peak; else raise a ValueError with the reason and what the caller can do."""
    if peak is None:
        # If the data has a fault, advice about the limits of the test would mislead.
        advice = " ".join(result.hints) or reason
        raise ValueError(
            f"No learning rate was found for the peak. {advice} Pass a number as `max_learning_rate`, or call "
            "`find_learning_rate` or `sweep_learning_rates` with other arguments and pass the result."
        )
    return result
