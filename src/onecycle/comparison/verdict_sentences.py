"""A verdict as a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onecycle.comparison.statistics import BETTER, MOST_SEEDS, SAME, WORSE, fewest_seeds
from onecycle.results.comparison import Verdict
from onecycle.results.runs import TIMES

# Where in a run the value of a measure is taken.
PLACES = {"final": "after the last epoch", "best": "at the best epoch", "loss": "in the loss after the last epoch"}


@dataclass(frozen=True)
class RunCounts:
    """How many runs of an arm and of the baseline have no value.

    Attributes:
        arm: Name of the arm.
        baseline: Name of the baseline.
        tested_arms: Number of arms that are compared with the baseline.
        missing: Runs without a value, of the arm and of the baseline.
        failed: Runs that diverged or have no finite value, of the arm and of the baseline.
        valid_pairs: Seeds at which neither of the two runs failed.
    """

    arm: str
    baseline: str
    tested_arms: int
    missing: tuple[int, int]
    failed: tuple[int, int]
    valid_pairs: int


def verdict_sentence(verdict: Verdict, counts: RunCounts) -> str:
    """Return the verdict in words, with its numbers and what limits them."""
    conclusion, effect = _conclusion(verdict, counts), _effect(verdict)
    return f"{conclusion}: {effect}{_evidence(verdict, counts)}.{_caveats(verdict, counts)}"


def not_measured_sentence(arm: str, measure: str) -> str:
    """Return why there is no verdict on an arm in a measure of which no run has a value."""
    if measure in TIMES:
        return (
            f"{arm}: no {measure} to the target to compare: no run of any arm reached it, or the {measure} could not "
            "be counted."
        )
    return (
        f"{arm}: nothing to compare {PLACES[measure]}: no run of any arm has a finite value there, for example because "
        "all of them diverged."
    )


def _conclusion(verdict: Verdict, counts: RunCounts) -> str:
    arm, baseline = counts.arm, counts.baseline
    if verdict.kind in (BETTER, WORSE):
        return f"{arm} is {verdict.kind} than {baseline}"
    if verdict.kind == SAME:
        return f"{arm} makes no practical difference compared with {baseline} (margin {verdict.margin:.3g})"
    return f"{arm} compared with {baseline}: cannot tell yet ({_advice(verdict, counts)})"


def _effect(verdict: Verdict) -> str:
    is_time = verdict.measure in TIMES
    if math.isnan(verdict.effect):
        return "no seed has a time for both arms" if is_time else f"no seed has two values {PLACES[verdict.measure]}"
    if is_time:
        return f"{verdict.effect:.3g} times the {verdict.measure} to the target"
    return f"{verdict.effect:+.3g} {PLACES[verdict.measure]}"


def _evidence(verdict: Verdict, counts: RunCounts) -> str:
    if verdict.seeds < 2:  # no interval and no test
        return ""
    interval = "" if math.isnan(verdict.low) else f"95 % interval {verdict.low:.3g} to {verdict.high:.3g}; "
    adjusted = f", adjusted for {counts.tested_arms} arms" if counts.tested_arms > 1 else ""
    return f" ({interval}p = {verdict.p:.2g}{adjusted})"


def _advice(verdict: Verdict, counts: RunCounts) -> str:
    """Return what would lead to a verdict."""
    arms = counts.tested_arms
    if verdict.more_seeds is None:
        # Only the metric has a margin that the user may choose, and equivalence needs a value of every run.
        equivalence = verdict.margin is None and verdict.measure != "loss" and not any(counts.missing)
        remedy = "; with a `margin`, the arms might be shown to be equivalent" if equivalence else ""
        return f"more than {MOST_SEEDS} seeds would be needed{remedy}"
    needed = f"about {verdict.more_seeds} more seed{'s' if verdict.more_seeds != 1 else ''} would be needed"
    if verdict.seeds >= fewest_seeds(arms):
        return needed
    for_arms = f" for {arms} arms" if arms > 1 else ""
    return f"{_seeds(verdict.seeds)} {'is' if verdict.seeds == 1 else 'are'} too few{for_arms}; {needed}"


def _caveats(verdict: Verdict, counts: RunCounts) -> str:
    """Return what the runs without a value mean for the numbers, one sentence each, with a leading space."""
    if not any(counts.missing):
        return ""
    is_time = verdict.measure in TIMES
    sentences = []
    if is_time:
        missing, baseline_missing = counts.missing
        reached = (verdict.seeds - missing, verdict.seeds - baseline_missing)
        sentences += [
            f"The target was reached in {_runs(reached, verdict, counts)}.",
            "A run that missed it is censored at its length: its ratio is a bound, and the mean has no interval.",
        ]
    if any(counts.failed) or not is_time:
        others = "any run that reached the target" if is_time else "all others"
        sentences.append(
            f"Runs that diverged or have no finite value count as worse than {others}: "
            f"{_runs(counts.failed, verdict, counts)}."
        )
        if counts.valid_pairs:
            sentences.append(f"The mean is over the other {_seeds(counts.valid_pairs)}.")
    return "".join(f" {sentence}" for sentence in sentences)


def _runs(number: tuple[int, int], verdict: Verdict, counts: RunCounts) -> str:
    ours, theirs = number
    return f"{ours} of {verdict.seeds} runs of {counts.arm} and {theirs} of {verdict.seeds} of {counts.baseline}"


def _seeds(number: int) -> str:
    return f"{number} seed{'s' if number != 1 else ''}"
