"""Results: frozen records that print, plot, save and load without the model that produced them. No keras is needed."""

from __future__ import annotations

import os

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.results.batch_size import BatchSizeAdvice
from onecycle.results.comparison import Comparison, Verdict
from onecycle.results.cycle_report import CycleReport
from onecycle.results.findings import Finding, Findings
from onecycle.results.fine_tune_report import FineTuneReport
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest
from onecycle.results.range_test_loop import RangeTestLoop
from onecycle.results.rescue import Rescue
from onecycle.results.runs import MeasuredRun, RunRecord
from onecycle.suggestions import StopReason, Suggestion

__all__ = [
    "BatchSizeAdvice",
    "Comparison",
    "CycleReport",
    "Finding",
    "Findings",
    "FineTuneReport",
    "MeasuredRun",
    "Race",
    "RangeTest",
    "RangeTestLoop",
    "Rescue",
    "Result",
    "RunRecord",
    "StopReason",
    "Suggestion",
    "Verdict",
    "load",
]


def load(path: str | os.PathLike[str]) -> Result:
    """Return the result saved in a file. It has the class of the saved result and equals it.

    Args:
        path: File written by the `save` method of a result.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is incomplete, is not a onecycle result, or was written by a newer onecycle.
    """
    result = codec.load_object(path)
    if not isinstance(result, Result):
        raise ValueError(f"{path} holds a {type(result).__name__}, which is not a result by itself.")
    return result
