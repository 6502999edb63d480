"""Where the cycle of a `fit` begins and how long it is."""

from __future__ import annotations

from collections.abc import Mapping

from onecycle.training.continuation import fixed_start, start_with_initial_epoch
from onecycle.training.resumption import Resumption, cycle_length


def find_span(
    resumption: Resumption,
    params: Mapping[str, int | None],
    epoch: int,
    *,
    step: int,
    total_steps: int | None,
    schedule: object,
    skips_updates: bool,
) -> tuple[int, int | None]:
    """Return the step of the optimizer at which the cycle began, and its length, or None if that is unknown.

    Args:
        resumption: Whether Keras resumes an interrupted run.
        params: `callback.params` of Keras.
        epoch: The first epoch of this `fit`.
        step: The optimizer's step counter.
        total_steps: The length that the user gave, or None.
        schedule: The schedule that the user gave, if any.
        skips_updates: Whether the step counter may lag behind the batches.
    """
    start = fixed_start(schedule)
    if start is None and (resumption.restores or epoch == 0):
        start = resumption.start_step(step)
    if start is None:
        start = start_with_initial_epoch(params, epoch, step=step, total_steps=total_steps, schedule=schedule)
    done = step - start
    return start, cycle_length(params, epoch, total_steps=total_steps, steps_done=done, skips_updates=skips_updates)
