"""`onecycle compare`: ways to train a person's own model, compared in pairs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from onecycle.commands.console import WrongUse, bad_options
from onecycle.commands.setting import told_what_to_install
from onecycle.commands.subject import find_function, import_place
from onecycle.commands.writing import write

FORM = "(build, data, arms)"


def load_parts(name: str) -> tuple[Any, Any, Any]:
    """Import MODULE (or FILE.py), call FUNCTION, and check that it returns `(build, data, arms)`."""
    place, _, function = name.rpartition(":")
    if not place or not function:
        raise WrongUse(f"Name your code as MODULE:FUNCTION or FILE.py:FUNCTION. Received: {name!r}")
    make = find_function(import_place(place), function, place)
    try:
        returned = make()
    except Exception as error:
        raise RuntimeError(f"{name} raised {type(error).__name__}: {error}") from error
    if not isinstance(returned, tuple) or len(returned) != 3:
        what = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else type(returned).__name__
        raise WrongUse(f"{name} must return {FORM}, as `onecycle.compare` takes them. Received: {what}")
    build, data, arms = returned
    return build, data, arms


def compare(parts: tuple[Any, Any, Any], *, save: Path | None, plot: Path | None, **options: Any) -> Any:
    """Run the comparison, write what was asked for, and return the `Comparison`."""
    with told_what_to_install(), bad_options():  # what is wrong in a run is a RuntimeError
        from onecycle import comparison

        result = comparison.compare(*parts, **options)
    write(result, save=save, plot=plot)
    return result


def facts(result: Any) -> dict[str, Any]:
    """Return what a program wants to know of a `Comparison`; every run is in the saved file."""
    return {
        "baseline": result.baseline,
        "seeds": list(result.seeds),
        "metric": result.metric,
        "mode": result.mode,
        "target": finite(result.target),
        "margin": result.margin,
        "verdicts": {
            arm: {measure: verdict_facts(verdict) for measure, verdict in verdicts.items()}
            for arm, verdicts in result.verdicts.items()
        },
        "problems": list(result.problems),
    }


def table(result: Any) -> list[dict[str, str]]:
    """Return the arms, a row each."""
    rows: list[dict[str, str]] = result.rows()
    return rows


def verdict_facts(verdict: Any) -> dict[str, Any]:
    """Return a verdict as JSON can hold it."""
    numbers = {name: finite(getattr(verdict, name)) for name in ("effect", "low", "high", "p", "probability")}
    return {"verdict": verdict.kind, **numbers, "more_seeds": verdict.more_seeds, "sentence": verdict.sentence}


def finite(value: float) -> float | None:
    """Return the number, or None for NaN and infinities, which JSON does not have."""
    return float(value) if math.isfinite(value) else None
