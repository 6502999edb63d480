"""The steps at which a schedule is drawn. Needs only the standard library."""

from __future__ import annotations

import math
from collections.abc import Iterable

MAX_POINTS = 2000  # of a curve; more than a plot has columns of pixels


def corner_steps(schedule: object, total_steps: int) -> list[int]:
    """Return the steps at which the phases of a schedule, or the halves of its cycles, begin and end.

    Args:
        schedule: A schedule of onecycle. Any other object has no corners.
        total_steps: Number of steps that are shown.
    """
    ends = [end for phase in getattr(schedule, "phases", ()) for end in (phase.start, phase.stop)]
    step_size = getattr(schedule, "step_size", None)
    if step_size is not None and total_steps // step_size < MAX_POINTS // 2:
        first = getattr(schedule, "start_step", 0)
        ends += [first + k * step_size for k in range(total_steps // step_size + 1)]
    # An end may lie between two steps.
    return sorted({step for end in ends for step in (math.floor(end), math.ceil(end))})


def shown_steps(total_steps: int, corners: Iterable[int] = ()) -> list[int]:
    """Return the steps to draw: all of them, or if there are too many, evenly spaced ones and the corners.

    Args:
        total_steps: Number of steps, from step 0 on.
        corners: Steps at which the curve has corners.
    """
    if total_steps <= MAX_POINTS:
        return list(range(total_steps))
    last = total_steps - 1
    even = {k * last // (MAX_POINTS - 1) for k in range(MAX_POINTS)}
    return sorted(even | {step for step in corners if 0 <= step <= last})
