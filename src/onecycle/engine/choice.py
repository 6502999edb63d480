"""All members at once, or one after the other: measured, not guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

WORTH = 2.0  # times what compiling takes that the members must take, before another program is tried


@dataclass(frozen=True)
class Choice:
    """The engine that trains, and why, as a sentence."""

    engine: str
    reason: str


def chosen(members: int, steps: int, trial: Callable[[bool], tuple[float, float]]) -> Choice:
    """The faster of a program for one member and one for all.

    Args:
        members: How many there are.
        steps: Steps of each.
        trial: Compiles the program for all (True) or for one (False); returns the seconds that a step takes for one
            member, and those that compiling took.
    """
    if members == 1:
        return Choice("scan", "There is one member.")
    one, compiling = trial(False)
    whole = one * members * steps
    told = f"One by one, {members} members × {steps} steps take {whole:.2g} s ({1e6 * one:.3g} µs a step)"
    if whole < WORTH * compiling:
        return Choice("scan", f"{told}: less than another program would have to save.")
    together, _ = trial(True)
    told = f"{told}, all at once {together * members * steps:.2g} s ({1e6 * together:.3g} µs)."
    return Choice("vmap" if together < one else "scan", told)
