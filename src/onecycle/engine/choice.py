"""All members at once, one after the other, or through `fit`: measured, not guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

WORTH = 2.0  # times what compiling takes that the members must take, before another program is tried
# Where a step is short, `fit` adds to it more than it could save; so many seconds of a step, and of all.
SLOW, LONG = 2e-3, 20.0
CLEARLY = 0.9  # of the time one after the other, that `fit` must stay below


@dataclass(frozen=True)
class Choice:
    """The engine that trains, and why, as a sentence."""

    engine: str
    reason: str


@dataclass(frozen=True)
class Trial:
    """What a program was found to be.

    Attributes:
        seconds: That a step takes for one member.
        compiling: Seconds that making it took.
        refusal: Why it was not made, as the end of a sentence, or None.
    """

    seconds: float
    compiling: float = 0.0
    refusal: str | None = None


def chosen(members: int, steps: int, trial: Callable[[str], Trial]) -> Choice:
    """The fastest of a program for one member, one for all, and `fit`.

    Args:
        members: How many there are.
        steps: Steps of each.
        trial: Makes and times what an engine needs, by its name.
    """
    one = trial("scan")
    if one.refusal:
        return refused(one.refusal)
    tried, whole = {"scan": one.seconds}, one.seconds * members * steps
    if members > 1 and whole > WORTH * one.compiling:
        tried["vmap"] = trial("vmap").seconds
    if one.seconds > SLOW and whole > LONG:
        tried["fit"] = trial("fit").seconds
    engine = min(tried, key=lambda name: tried[name])
    if engine == "fit" and tried["fit"] > CLEARLY * tried["scan"]:
        engine = "scan"
    told = ", ".join(f"{_TOLD[name]} {1e6 * seconds:.3g} µs" for name, seconds in tried.items())
    return Choice(engine, f"A member's step takes {told}; {members} × {steps} steps are to be made.")


def refused(reason: str) -> Choice:
    """What is left where there is no program, for a reason that is the end of a sentence."""
    return Choice("fit", f"{reason[0].upper()}{reason[1:]}.")


_TOLD = {"scan": "one after the other", "vmap": "all at once", "fit": "through `fit`"}
