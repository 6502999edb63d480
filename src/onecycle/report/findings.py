"""The report's section on the findings before training."""

from __future__ import annotations

from onecycle.report.parts import DataTable, Section
from onecycle.results.findings import Findings


def findings_section(result: Findings) -> Section:
    """Return the report's section on findings."""
    checks = DataTable("The checks", ("check", "outcome"), list(result.checks.items()))
    rows = [(finding.name, finding.description, finding.remedy) for finding in result.findings]
    return Section(
        title="Look before training",
        verdict=result.verdict,
        main_table=DataTable("What was found", ("finding", "description", "remedy"), rows) if rows else checks,
        tables=(checks,) if rows else (),
        versions=result.versions,
        origin=result.origin,
        code=("onecycle.check(model, x, y)", "onecycle check MODULE:FUNCTION"),
    )
