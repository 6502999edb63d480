"""The choice between the engines, made by timing a few steps of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# A second program is compiled only if training takes at least this many times as long as compiling the first did.
MIN_TRAINING_PER_COMPILING = 2.0
# `fit` adds overhead to each step. It is tried only if a step and the whole training take longer than this.
MIN_STEP_SECONDS, MIN_TRAINING_SECONDS = 2e-3, 20.0
# `fit` is chosen only if its step takes less than this fraction of the step of the program for one member.
MAX_FIT_RATIO = 0.9


@dataclass(frozen=True)
class EngineChoice:
    """The engine that trains.

    Attributes:
        engine: `"vmap"`, `"scan"` or `"fit"`.
        reason: Why, as a sentence.
    """

    engine: str
    reason: str


@dataclass(frozen=True)
class EngineTrial:
    """The result of trying an engine.

    Attributes:
        step_seconds: Seconds per step and member.
        compile_seconds: Seconds spent on compiling.
        refusal: Why the engine cannot be used, as the end of a sentence, or None.
    """

    step_seconds: float
    compile_seconds: float = 0.0
    refusal: str | None = None


def choose_engine(members: int, steps: int, try_engine: Callable[[str], EngineTrial]) -> EngineChoice:
    """Return the fastest engine: a program for one member, a program for all members, or `fit`.

    An engine is tried only if it may save more time than its trial takes.

    Args:
        members: Number of members.
        steps: Number of training steps of each member.
        try_engine: Function that times an engine, given its name.

    Returns:
        The choice. Its reason states the times measured.
    """
    scan = try_engine("scan")
    if scan.refusal:
        return choose_fit(scan.refusal)
    seconds = {"scan": scan.step_seconds}
    total = scan.step_seconds * members * steps
    # With one member, a program for all members would do the same.
    if members > 1 and total > MIN_TRAINING_PER_COMPILING * scan.compile_seconds:
        seconds["vmap"] = try_engine("vmap").step_seconds
    if scan.step_seconds > MIN_STEP_SECONDS and total > MIN_TRAINING_SECONDS:
        seconds["fit"] = try_engine("fit").step_seconds
    engine = min(seconds, key=lambda name: seconds[name])
    if engine == "fit" and seconds["fit"] > MAX_FIT_RATIO * seconds["scan"]:
        engine = "scan"
    return EngineChoice(engine, _timing_sentence(seconds, members, steps))


def choose_requested(engine: str) -> EngineChoice:
    """Return the choice of an engine that the caller requested."""
    return EngineChoice(engine, f"The call requested `engine={engine!r}`.")


def choose_fit(reason: str) -> EngineChoice:
    """Return the choice of `fit` where no program can be used.

    Args:
        reason: Why, as the end of a sentence.
    """
    return EngineChoice("fit", f"{reason[0].upper()}{reason[1:]}.")


_DESCRIPTIONS = {"scan": "with one member at a time", "vmap": "with all members at once", "fit": "with `fit`"}


def _timing_sentence(seconds: dict[str, float], members: int, steps: int) -> str:
    times = ", ".join(f"{1e6 * value:.3g} µs {_DESCRIPTIONS[name]}" for name, value in seconds.items())
    return f"Per member, a training step takes {times}. The runs have {members} × {steps} steps."
