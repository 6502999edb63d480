"""The length of the training that `fit_one_cycle` is about to do, as far as it is known before."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from onecycle.keras_support import training_data
from onecycle.keras_support.types import Nested
from onecycle.suggestions.arguments import check_integer
from onecycle.training.cycle_spec import CycleSpec
from onecycle.training.fit_arguments import FitArguments


@dataclass(frozen=True)
class FitLength:
    """The length of a training.

    Attributes:
        cycle_steps: Length of the cycle in steps; None if it is for `fit` or a ready schedule to say.
        continues: Whether `initial_epoch` leaves fewer steps than the cycle has, so that the cycle is that of an
            earlier training.
    """

    cycle_steps: int | None
    continues: bool = False


def fit_length(
    spec: CycleSpec,
    model: keras.Model,
    x: Nested,
    split: float = 0.0,
    *,
    epochs: int,
    batch_size: int | None,
    total_steps: int | None,
    arguments: FitArguments,
) -> FitLength:
    """Return the length of a training.

    Args:
        spec: The specification of the cycle.
        model: The model.
        x: Training data, as `Model.fit` takes it.
        split: Share of the rows of arrays that `fit` splits off for validation.
        epochs: As in `fit`.
        batch_size: As in `fit`.
        total_steps: The length of the cycle, if the user gave it.
        arguments: Other arguments of `fit`.

    Raises:
        ValueError: If the length is unknown, or is no positive integer.
    """
    if total_steps is not None:
        check_integer("total_steps", total_steps)
    if training_data.has_own_fit(model):
        x = training_data.lists_as_arrays(x)
    if training_data.is_arrays(x):
        x = training_data.without_validation_split(x, split)
    first = arguments.get("initial_epoch", 0)
    epochs -= first
    given = arguments.get("steps_per_epoch")
    steps = training_data.steps_per_epoch(x, batch_size, given)
    continues = bool(first and total_steps and total_steps > epochs * (steps or 0))
    made = training_data.steps_of_epochs(x, given, epochs, batch_size=batch_size)
    if given and made and total_steps is None and not spec.has_ready_schedule and sum(made) < given * epochs:
        # Keras would report more steps than it makes.
        return FitLength(sum(made))
    if given or training_data.fit_knows_length(x):
        return FitLength(total_steps, continues)
    if total_steps is None and not spec.has_ready_schedule:
        if steps is None:
            raise ValueError(_UNKNOWN_LENGTH)
        return FitLength(steps * epochs)
    return FitLength(total_steps, continues)


_UNKNOWN_LENGTH = (
    "The length of this data is unknown, and so is the length of the cycle. Pass `total_steps`, the number of training "
    "steps, or `steps_per_epoch`."
)
