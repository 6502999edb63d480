"""The sections of each kind of result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from onecycle.report.batch_size import batch_size_section
from onecycle.report.comparison import comparison_section
from onecycle.report.cycle import cycle_section
from onecycle.report.findings import findings_section
from onecycle.report.fine_tuning import fine_tuning_section
from onecycle.report.parts import Section
from onecycle.report.race import race_section
from onecycle.report.range_test import range_test_section
from onecycle.results.base import Result
from onecycle.results.batch_size import BatchSizeAdvice
from onecycle.results.comparison import Comparison
from onecycle.results.cycle_report import CycleReport
from onecycle.results.findings import Findings
from onecycle.results.fine_tune_report import FineTuneReport
from onecycle.results.race import Race
from onecycle.results.range_test import RangeTest

R = TypeVar("R", bound=Result)
SectionMaker = Callable[[Result], Section]

# Class of a result -> the function that makes its section.
_MAKERS: dict[type[Result], SectionMaker] = {}


def sections_of(result: Result) -> list[Section]:
    """Return the section of a result, and sections for the evidence of a cycle report and the phases of a fine-tuning.

    A result of another class becomes a section with its summary as text.

    Raises:
        TypeError: If `result` is not a result.
    """
    if not isinstance(result, Result):
        raise TypeError(f"A report is made of results, such as a RangeTest. Received: {type(result).__name__}")
    make = next((_MAKERS[cls] for cls in type(result).__mro__ if cls in _MAKERS), _summary_section)
    sections = [make(result)]
    if isinstance(result, CycleReport) and result.evidence is not None:
        sections += sections_of(result.evidence)
    if isinstance(result, FineTuneReport):
        sections += [section for cycle in result.phases for section in sections_of(cycle)]
    return sections


def _register(cls: type[R], make: Callable[[R], Section]) -> None:
    _MAKERS[cls] = cast(SectionMaker, make)


_register(RangeTest, range_test_section)
_register(Race, race_section)
_register(CycleReport, cycle_section)
_register(FineTuneReport, fine_tuning_section)
_register(Comparison, comparison_section)
_register(Findings, findings_section)
_register(BatchSizeAdvice, batch_size_section)


def _summary_section(result: Result) -> Section:
    text = result.summary()
    return Section(
        title=type(result).__name__,
        verdict=next(iter(text.splitlines()), ""),
        text=text,
        versions=getattr(result, "versions", {}),
    )
