"""The results: frozen records that print, plot, save and load without the model that made them. No keras."""

from __future__ import annotations

import os

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.results.comparison import Comparison, RunRecord, Verdict
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep
from onecycle.suggestions import StopReason, Suggestion
from onecycle.suggestions.sweep_pick import Pick

__all__ = [
    "Comparison",
    "Pick",
    "RangeTest",
    "Result",
    "RunRecord",
    "StopReason",
    "Suggestion",
    "Sweep",
    "Verdict",
    "load",
]

codec.storable(StopReason)
codec.storable(Suggestion)


def load(path: str | os.PathLike[str]) -> Result:
    """Returns the result that was saved at `path`, of the class it had, equal to what was saved.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is torn, is not a onecycle result, or was written by a newer onecycle.
    """
    result = codec.load(path)
    if not isinstance(result, Result):
        message = f"{path} holds a {type(result).__name__}, which is not a result by itself."
        raise ValueError(message)
    return result
