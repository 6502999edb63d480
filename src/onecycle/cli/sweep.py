"""`onecycle sweep`: short annealed runs of a person's own model, and the peak they point at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onecycle.commands.subject import Subject
from onecycle.commands.writing import write


def sweep(subject: Subject, *, save: Path | None, plot: Path | None, **options: Any) -> Any:
    """Run the sweep, write what was asked for, and return the `Sweep`."""
    from onecycle.finding.sweep import sweep_learning_rates

    result = sweep_learning_rates(subject.model, subject.x, subject.y, **options)
    write(result, save=save, plot=plot)
    return result


def facts(result: Any) -> dict[str, Any]:
    """Return what a program wants to know of a `Sweep`; each run is in the saved file."""
    return {
        "learning_rate": result.pick.learning_rate,
        "interval": None if result.interval is None else list(result.interval),
        "reason": result.pick.reason,
        "at_end": result.at_end,
        "cost": result.cost,
        "total_steps": result.total_steps,
        "held_out": result.held_out,
        "runs": len(result.learning_rates),
    }


def table(result: Any) -> list[dict[str, str]]:
    """Return each run as a row."""
    return [
        {"peak": row["rate"], "steps": row["steps"], "held-out loss": row["loss"], "": row["best"]}
        for row in result.rows()
    ]
