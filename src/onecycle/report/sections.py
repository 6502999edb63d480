"""Which section a result becomes: a new kind of result is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onecycle.report.comparison import comparison_section
from onecycle.report.parts import Section
from onecycle.report.range_test import range_test_section
from onecycle.report.sweep import sweep_section
from onecycle.results.base import Result
from onecycle.results.comparison import Comparison
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep

SECTIONS: dict[type[Result], Callable[[Any], Section]] = {
    RangeTest: range_test_section,
    Comparison: comparison_section,
    Sweep: sweep_section,
}


def section(result: Result) -> Section:
    """Returns the section of a result; of a class without one of its own, its summary as text.

    Raises:
        TypeError: for what is not a result.
    """
    if not isinstance(result, Result):
        raise TypeError(f"A report is made of results, such as a RangeTest. Received: {type(result).__name__}")
    for kind in type(result).__mro__:
        if kind in SECTIONS:
            return SECTIONS[kind](result)
    text = result.summary()
    return Section(
        kind=type(result).__name__,
        verdict=next(iter(text.splitlines()), ""),
        plain=text,
        versions=getattr(result, "versions", {}),
    )
