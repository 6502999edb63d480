"""Cycle reports for plots and reports: by a range test, by a race, interrupted, and without a curve."""

import numpy as np
from render.sample_races import RACES
from render.sample_range_tests import RANGE_TESTS

from onecycle.results import CycleReport, Rescue
from onecycle.schedules.curves import Curve
from onecycle.schedules.phases import momentum_phases, one_cycle_phases

HIGH, LOW = 0.95, 0.85


def cycle(peak, total_steps, *, steps=None, momentum=(HIGH, LOW), **fields):
    """Return the report of a one-cycle schedule with its curve."""
    shown = np.unique(np.linspace(0, total_steps - 1, min(total_steps, 200)).round())
    phases = one_cycle_phases(peak, total_steps)
    momenta = None if momentum is None else Curve(momentum_phases(phases, *momentum)).values(shown)
    return CycleReport(
        schedule=f"OneCycle(max_learning_rate={peak}, total_steps={total_steps})",
        momentum=momentum,
        start_step=0,
        total_steps=total_steps,
        steps=total_steps if steps is None else steps,
        steps_shown=shown,
        learning_rates=Curve(phases).values(shown),
        momenta=momenta,
        **{"skipped_steps": 0, "max_learning_rate": peak, **fields},
    )


CYCLES = {
    "range test": cycle(0.2, 400, evidence=RANGE_TESTS["pretty"]),
    "race": cycle(0.05, 500, evidence=RACES["pretty"]),
    "given": cycle(0.1, 400, steps=150, momentum=None, skipped_steps=3, max_learning_rate=None),
    "short": cycle(0.1, 12, steps=5),
    "with history": cycle(0.1, 90, history={"loss": (0.9, 0.4, 0.2), "val_loss": (0.8, 0.5, 0.3)}),
    "one step": cycle(0.1, 1),
    "no step made": cycle(0.1, 50, steps=0),
    "rescued": cycle(
        3.0,
        200,
        steps=200,
        rescues=(
            Rescue(40, "the loss exploded to 1.2e+05", 0.2, 12),
            Rescue(
                90, "the loss became NaN or infinite, since a batch has NaN or infinite values in its inputs", 0.2, 5
            ),
        ),
    ),
    "layer rates": cycle(0.1, 90, layer_rates={"encoder/*": 0.01, "pooler, norm": 0.1}),
    "no curve": CycleReport("Custom", None, start_step=30, total_steps=None, steps=20, skipped_steps=None),
}
