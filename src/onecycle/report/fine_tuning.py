"""The report's section on the two phases of a fine-tuning."""

from __future__ import annotations

from onecycle.report.parts import Cell, DataTable, Section
from onecycle.results.cycle_report import CycleReport
from onecycle.results.fine_tune_report import FineTuneReport
from onecycle.results.layer_rates import describe_layer_rates


def fine_tuning_section(result: FineTuneReport) -> Section:
    """Return the report's section on a fine-tuning, without its cycles, which have their own sections."""
    rows = [
        _row("the head alone", result.head_cycle, result.epochs[0]),
        _row("all layers", result.cycle, result.epochs[1]),
    ]
    headings = ("phase", "epochs", "steps", "peak learning rate", "factors of layers")
    facts: list[tuple[str, Cell]] = [
        ("layers of the head", ", ".join(result.head)),
        ("BatchNormalization that kept its statistics", ", ".join(result.frozen_normalizations) or "none"),
    ]
    return Section(
        title="Fine-tuning",
        verdict=result.verdict,
        main_table=DataTable("The phases", headings, rows),
        tables=(DataTable("The layers", ("", "names"), facts),),
        origin=result.phases[-1].origin,
        peak=result.max_learning_rate,
    )


def _row(phase: str, cycle: CycleReport | None, epochs: int) -> tuple[Cell, ...]:
    if cycle is None:
        return (phase, epochs, 0, None, None)
    factors = describe_layer_rates(cycle.layer_rates) if cycle.layer_rates else None
    return (phase, epochs, cycle.steps, cycle.max_learning_rate, factors)
