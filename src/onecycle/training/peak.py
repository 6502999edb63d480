"""The search for the peak of a cycle, before training."""

from __future__ import annotations

from typing import TypedDict, Unpack

import keras

from onecycle.finding.range_test import find_learning_rate
from onecycle.finding.sweep import sweep_learning_rates
from onecycle.hyperparameters.optimizer_traits import normalizes_gradients
from onecycle.keras_support import training_data
from onecycle.keras_support.optimizers import optimizer_names
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.training.cycle_spec import CycleSpec

# For the second attempt: a noisy curve needs more steps, and losses on an unusual scale need wider limits. Only the
# steps of SGD grow with the scale of the loss, so only SGD may need a higher maximum.
WIDER_MIN, WIDER_MAX, WIDER_MAX_OF_SGD, WIDER_STEPS = 1e-8, 10.0, 1e3, 900
# An optimizer that divides by the size of the gradient changes each weight by about the learning rate in each step.
# The weights of a network that trains are smaller than 1.
HIGHEST_NORMALIZED_PEAK = 1.0


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
    validation_split: float = 0.0,
    sample_weight: object = None,
    **options: Unpack[PickerOptions],
) -> RangeTest | Sweep | None:
    """Return the result that holds the peak: the given one, or that of a picker; None for a number or a ready schedule.

    Args:
        spec: The specification of the cycle.
        model: The compiled model, which is left unchanged.
        x: Training data, as `Model.fit` takes it.
        y: Targets, as in `fit`.
        epochs: Epochs of the training.
        validation_split: As in `fit`; a sweep does not use this part.
        sample_weight: As in `fit`.
        **options: Other arguments of both pickers.
    """
    if isinstance(spec.max_learning_rate, RangeTest | Sweep):
        return spec.max_learning_rate
    if spec.picker is None:
        return None
    if spec.picker == "range test":
        return _range_test(model, x, y, sample_weight=sample_weight, **options)
    x, y, sample_weight = training_data.without_validation_split((x, y, sample_weight), validation_split)
    return sweep_learning_rates(
        model,
        x,
        y,
        sample_weight=sample_weight,
        epochs=epochs,
        momentum=spec.momentum,
        schedule=spec.schedule,
        **options,
    )


def refuse_one_shot(spec: CycleSpec, x: object) -> None:
    """Raise a ValueError if the search for the peak would use up the first batches of a generator."""
    if spec.finds_peak and training_data.is_one_shot(x):
        raise ValueError(
            f'With `max_learning_rate="{spec.max_learning_rate}"` the search for the peak would use up the first '
            "batches of this generator, and they would be missing in training. Pass data that can be read again, or a "
            "number."
        )


def _range_test(
    model: keras.Model, x: object, y: object, *, sample_weight: object, **options: Unpack[PickerOptions]
) -> RangeTest:
    """Run the range test; if it suggests no rate, once more with wider limits and three times the steps."""
    result = find_learning_rate(model, x, y, sample_weight=sample_weight, **options)
    if result.suggestion.learning_rate is not None:
        return result
    normalized = normalizes_gradients(model.optimizer)
    result = find_learning_rate(
        model,
        x,
        y,
        sample_weight=sample_weight,
        **options,
        min_learning_rate=WIDER_MIN,
        max_learning_rate=WIDER_MAX if normalized else WIDER_MAX_OF_SGD,
        num_steps=WIDER_STEPS,
    )
    peak = result.suggestion.learning_rate
    if normalized and peak is not None and peak > HIGHEST_NORMALIZED_PEAK:
        names = optimizer_names(model.optimizer)
        raise ValueError(
            " ".join(result.hints) + f" The range test suggests {peak:.3g}, but {names} changes each weight by about "
            f"the learning rate in each step, and no network trains with more than {HIGHEST_NORMALIZED_PEAK:g}. Scale "
            "the inputs and the targets, or pass a number as `max_learning_rate`."
        )
    return result
