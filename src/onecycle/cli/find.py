"""`onecycle find`: a learning rate range test on a person's own model and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onecycle.commands.subject import Subject
from onecycle.commands.writing import write


def find(subject: Subject, *, save: Path | None, plot: Path | None, **options: Any) -> Any:
    """Run the range test, write what was asked for, and return the `RangeTest`."""
    import onecycle

    result = onecycle.find_learning_rate(subject.model, subject.x, subject.y, **options)
    write(result, save=save, plot=plot)
    return result


def facts(result: Any) -> dict[str, Any]:
    """Return what a program wants to know of a `RangeTest`; the curve itself is in the saved file."""
    return {
        "learning_rate": result.suggestion.learning_rate,
        "rule": result.rule,
        "reason": result.suggestion.reason,
        "stop_reason": result.stop_reason.value,
        "steps": len(result.learning_rates),
        "suggestions": {name: suggestion.learning_rate for name, suggestion in result.suggestions.items()},
    }


def table(result: Any) -> list[dict[str, str]]:
    """Return what each rule says, a row each, the deciding one first."""
    names = sorted(result.suggestions, key=lambda name: name != result.rule)
    return [
        {
            "rule": f"{name} (decides)" if name == result.rule else name,
            "learning rate": "none" if found.learning_rate is None else f"{found.learning_rate:.3g}",
            "why": found.reason,
        }
        for name, found in ((name, result.suggestions[name]) for name in names)
    ]
