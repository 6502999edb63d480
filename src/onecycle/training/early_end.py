"""The warning that training ended in the middle of a cycle."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np

from onecycle.results.cycle_report import CycleReport


def warn_of_early_end(report: CycleReport, logs: Mapping[str, float] | None) -> None:
    """Warn that training ended before the cycle did, as with `EarlyStopping`.

    Training that was stopped because its loss is not finite has another problem, so there is no warning.

    Args:
        report: The report of the cycle when training ended.
        logs: The logs of the last epoch.
    """
    done = report.steps + (report.skipped_steps or 0)
    # Of a cycle that lags by an unknown number of skipped steps, the end is not known.
    if report.total_steps is None or report.skipped_steps is None or done >= report.total_steps:
        return
    if not math.isfinite((logs or {}).get("loss", 0.0)):
        return
    rate = float(np.interp(report.steps, report.steps_shown, report.learning_rates))
    warnings.warn(
        f"Training ended after {done} of the {report.total_steps} steps of the cycle, at the learning rate "
        f"{rate:.3g}. The loss falls most in the last part of a cycle. Let the cycle finish: train without "
        "EarlyStopping, and for as many steps as the cycle has.",
        stacklevel=2,
    )
