"""The warning that training ended in the middle of a cycle."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np

from onecycle.results.cycle_report import CycleReport


def warn_of_early_end(report: CycleReport, logs: Mapping[str, float] | None, *, stopped: bool) -> None:
    """Warn that training ended before the cycle did, as with `EarlyStopping` or a cycle longer than the `fit`.

    Training that was stopped because its loss is not finite has another problem, so there is no warning.

    Args:
        report: The report of the cycle when training ended.
        logs: The logs of the last epoch.
        stopped: Whether a callback stopped the training.
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
        f"{rate:.3g}. The loss falls most in the last part of a cycle. {_STOPPED if stopped else _TOO_LONG}",
        stacklevel=2,
    )


_STOPPED = "Let the cycle finish: train without EarlyStopping and other callbacks that stop the training."
_TOO_LONG = (
    "Make the cycle as long as this `fit`, train for more epochs, or continue the cycle in another `fit` with "
    "`initial_epoch`."
)
