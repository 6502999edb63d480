"""Where a cycle begins in a `fit` with `initial_epoch`, which continues an earlier training without a backup."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from keras.optimizers.schedules import LearningRateSchedule

from onecycle.schedules.base import Schedule


def fixed_start(schedule: object) -> int | None:
    """Return the step at which a given schedule begins by its own `start_step`; None if it begins with the `fit`."""
    return schedule.start_step if isinstance(schedule, Schedule) and schedule.start_step else None


def start_with_initial_epoch(
    params: Mapping[str, int | None],
    epoch: int,
    *,
    step: int,
    total_steps: int | None,
    schedule: object,
) -> int:
    """Return the step at which the cycle began, in a `fit` whose first epoch is not epoch 0.

    A cycle that is longer than the rest of the training is that of the whole training, and is continued. The step
    counter of the optimizer, which was loaded with the model, says where. Any other cycle begins now.

    Args:
        params: `callback.params` of Keras.
        epoch: The first epoch of this `fit`, above 0.
        step: The optimizer's step counter.
        total_steps: The length that the user gave, or None.
        schedule: The schedule that the user gave, if any.

    Raises:
        ValueError: If the cycle is to be continued and the optimizer has made no step.

    Warns:
        UserWarning: If a new cycle begins and the user may have expected the earlier one to continue.
    """
    ready = isinstance(schedule, LearningRateSchedule)
    given = getattr(schedule, "total_steps", None) if ready else total_steps
    per_epoch, epochs = params.get("steps"), params.get("epochs")
    if per_epoch is None or epochs is None:
        rest, before, whole = 0, step, 0
    else:
        rest, before, whole = (epochs - epoch) * per_epoch, epoch * per_epoch, epochs * per_epoch
    if given is not None and given > rest:
        if step == 0:
            raise ValueError(
                f"With `initial_epoch={epoch}` a cycle of {given} steps continues that of an earlier training, but the "
                "optimizer has made no step. Load its state as well, for example with `keras.saving.load_model`. "
                "`load_weights`, which KerasTuner's Hyperband calls, loads it only into an optimizer that is built: "
                "call `model.optimizer.build(model.trainable_variables)` before. For a new cycle, leave `total_steps` "
                "out."
            )
        return max(step - before, 0)
    if given is None:
        remedy = (
            "give the schedule itself to the optimizer" if ready else f"pass its whole length, `total_steps={whole}`"
        )
        silence = "" if ready else f" For a new cycle without this warning, pass `total_steps={rest}`."
        warnings.warn(
            f"With `initial_epoch={epoch}` a new cycle begins, of the {rest} steps in the remaining epochs. To "
            f"continue that of an earlier training, {remedy}.{silence}",
            stacklevel=2,
        )
    return step
