"""One cycle inside one call of `fit`: how long it is, where it begins, putting it in and taking it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onecycle.hyperparameters.scheduling import has_momentum

DEFAULT_MOMENTUM = (0.95, 0.85)  # Smith 2018 (1803.09820), section 4; PyTorch's and fastai's default too


def check_schedule(schedule: Any, total_steps: int | None, momentum: Any) -> None:
    """Raise for a ready schedule that does not go with the other arguments."""
    if isinstance(momentum, tuple):
        matching_momentum(schedule, momentum)
    own = getattr(schedule, "total_steps", None)
    if None not in (own, total_steps) and own != total_steps:
        raise ValueError(
            f"Argument `total_steps` must be that of the schedule, or left out. Received: total_steps={total_steps}, "
            f"schedule={schedule!r}. Pass a callable that takes the number of total steps and returns a schedule."
        )


def momentum_pair(asked: Any, schedule: Any, optimizer: Any) -> Any:
    """The momentum (high, low) that is meant: with "auto" the default one, where schedule and optimizer have any."""
    if asked != "auto":
        return asked
    return DEFAULT_MOMENTUM if hasattr(schedule, "momentum") and has_momentum(optimizer) else None


def matching_momentum(schedule: Any, pair: tuple[float, float]) -> Any:
    """The momentum that goes with a schedule.

    Raises:
        ValueError: For a schedule that is no cycle and so has no momentum of its own.
    """
    make: Callable[..., Any] | None = getattr(schedule, "momentum", None)
    if make is None:
        raise ValueError(
            f"A {type(schedule).__name__} is no cycle, so no momentum belongs to it. Pass `momentum=None`, "
            "or schedule one with `schedule_hyperparameters(model, momentum=...)`."
        )
    return make(high=pair[0], low=pair[1])
