"""A verdict as a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onecycle.comparison.planning import (
    MOST_SEEDS,
    detectable_effect,
    fewest_seeds_without_interval,
    seeds_for_effect,
)
from onecycle.comparison.statistics import BETTER, FEWEST_SEEDS, SAME, WORSE
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


def verdict_sentence(verdict: Verdict, counts: RunCounts, fewest: int) -> str:
    """Return the verdict in words, with its numbers and what limits them.

    Args:
        verdict: The verdict. Its own sentence is ignored.
        counts: How many runs have no value.
        fewest: Number of seeds below which no such verdict is possible.
    """
    conclusion, effect = _conclusion(verdict, counts, fewest), _effect(verdict)
    return f"{conclusion}: {effect}{_evidence(verdict, counts)}.{_caveats(verdict, counts)}"


def plan_sentence(seeds: int, arms: int) -> str:
    """Return what a comparison will be able to tell, before its first run.

    Args:
        seeds: Number of seeds.
        arms: Number of arms that are compared with the baseline.
    """
    given = f"{_seeds(seeds)} and {arms} arm{'s' if arms > 1 else ''} beside the baseline: "
    if seeds < FEWEST_SEEDS:
        first, *others = (f"{detectable_effect(count, arms):.2g}" for count in (FEWEST_SEEDS, 6, 10))
        return (
            f"{given}no verdict and no interval. With at least {FEWEST_SEEDS} `seeds` (--seeds), a mean difference of "
            f"{first} standard deviations over seeds is found in 4 of 5 cases, with 6 one of {others[0]} and with 10 "
            f"one of {others[1]}."
        )
    effect = detectable_effect(seeds, arms)
    smaller = seeds_for_effect(effect / 2, arms)
    advice = f", one of {effect / 2:.2g} with {smaller} `seeds` (--seeds)" if smaller else ""
    fewest = fewest_seeds_without_interval(arms)
    diverging = f" A verdict on runs that diverge needs {fewest}." if seeds < fewest else ""
    return (
        f"{given}a mean difference of {effect:.2g} standard deviations over seeds is found in 4 of 5 cases"
        f"{advice}.{diverging}"
    )


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


def _conclusion(verdict: Verdict, counts: RunCounts, fewest: int) -> str:
    arm, baseline = counts.arm, counts.baseline
    if verdict.kind in (BETTER, WORSE):
        return f"{arm} is {verdict.kind} than {baseline}"
    if verdict.kind == SAME:
        return f"{arm} makes no practical difference compared with {baseline} (margin {verdict.margin:.3g})"
    return f"{arm} compared with {baseline}: cannot tell yet ({_advice(verdict, counts, fewest)})"


def _effect(verdict: Verdict) -> str:
    is_time = verdict.measure in TIMES
    if math.isnan(verdict.effect):
        return "no seed has a time for both arms" if is_time else f"no seed has two values {PLACES[verdict.measure]}"
    if is_time:
        return f"{verdict.effect:.3g} times the {verdict.measure} to the target"
    return f"{verdict.effect:+.3g} {PLACES[verdict.measure]}"


def _evidence(verdict: Verdict, counts: RunCounts) -> str:
    if verdict.seeds < FEWEST_SEEDS:  # no interval and no test
        return ""
    several = counts.tested_arms > 1
    p = "p < 0.0001" if verdict.p < 1e-4 else f"p = {verdict.p:.2g}"
    if math.isnan(verdict.low):
        return f" ({p}{f', adjusted for {counts.tested_arms} arms' if several else ''})"
    adjusted = f"; both adjusted for {counts.tested_arms} arms" if several else ""
    return f" (95 % interval {verdict.low:.3g} to {verdict.high:.3g}; {p}{adjusted})"


def _advice(verdict: Verdict, counts: RunCounts, fewest: int) -> str:
    """Return what would lead to a verdict."""
    if verdict.more_seeds is None:
        # Only the metric has a margin that the user may choose, and equivalence needs a value of every run.
        equivalence = verdict.margin is None and verdict.measure != "loss" and not any(counts.missing)
        remedy = "; with a `margin`, the arms might be shown to be equivalent" if equivalence else ""
        return f"more than {MOST_SEEDS} seeds would be needed{remedy}"
    needed = f"about {verdict.more_seeds} more seed{'s' if verdict.more_seeds != 1 else ''} would be needed"
    if verdict.seeds >= fewest:
        return needed
    cause = " where runs have no value" if any(counts.missing) and verdict.seeds >= FEWEST_SEEDS else ""
    return f"{_seeds(verdict.seeds)} {'is' if verdict.seeds == 1 else 'are'} too few{cause}; {needed}"


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
