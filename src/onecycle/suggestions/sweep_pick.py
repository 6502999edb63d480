"""Which rate the scores of short annealed runs point at. Pure: numbers in, a rate, an interval and a sentence out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# The constants were chosen on the tuning tasks of studies/2026-11-23_picking_the_rate, never on those it judges by.

# Of the long run's best rate around where the short runs put it, as a standard deviation of the natural logarithm.
# What is picked is best on average over that, which lies left of the best short run: too high costs more than too low.
SPREAD = 0.9
WORST = 1.0  # a run twice as bad as the best, or diverged, is as bad as can be: all are to be kept away from
# What short runs like best is often not what the long one does, so what the range test suggests has its say: to be far
# from there weighs as much as so much regret and no more, so that clear scores decide; half of it for a factor REACH.
WEIGHT, REACH = 1.0, 5.0
TOLERANCE = 0.05  # the interval holds the rates that cost at most so much more than the one picked
LEAST_SLOPE = 0.1  # of the regret, for each factor e below the lowest rate tested: nothing is known there
DEVIATIONS, NODES = 2.5, 41  # standard deviations on either side of the rate, and how many rates among them
FINENESS = 400  # rates looked at
FLOAT_NOISE = 1e-6  # relative differences below this are rounding of a float32 loss


@dataclass(frozen=True)
class Pick:
    """A learning rate, or None, and always the reason.

    Attributes:
        learning_rate: float > 0, or None where no number is believed.
        interval: (low, high), between which by these scores a rate costs at most 5 % more than the one picked; or None.
        reason: one or two sentences for people.
        at_end: "lowest" or "highest" where the best run has that rate of all tested, so that a better one may lie
            outside; else None.
        seen_at: the rate of the best run of the longest, or None.
    """

    learning_rate: float | None
    interval: tuple[float, float] | None
    reason: str
    at_end: str | None = None
    seen_at: float | None = None


def pick(
    learning_rates: ArrayLike,
    scores: ArrayLike,
    steps: ArrayLike,
    *,
    initial_score: float,
    suggested: float | None = None,
    spread: float = SPREAD,
    worst: float = WORST,
    weight: float = WEIGHT,
    reach: float = REACH,
) -> Pick:
    """Picks the peak for a long run from the held-out losses at the end of short ones.

    With u the logarithm of the rate and r(u) the regret of the short runs, their relative excess over the best of
    them, between them a straight line, the pick is the u that minimises the mean of r(u + z) over a normal z with
    deviation `spread`, plus `weight` times d**2 / (d**2 + c**2) with d the distance of u from the logarithm of
    `suggested` and c that of `reach`. Of runs of several lengths the longest count; beyond their rates the shorter
    ones continue the curve.

    Args:
        learning_rates: float array, (n,), > 0, peaks of the short runs.
        scores: float array, (n,), held-out loss at the end of each, NaN or infinite where it diverged.
        steps: int array, (n,), length of each run.
        initial_score: held-out loss before any training, NaN where it is not known.
        suggested: what a range test suggests, or None.
        spread, worst, weight, reach: see the constants.
    """
    rates, found, lengths = (np.asarray(values, dtype=np.float64) for values in (learning_rates, scores, steps))
    longest = lengths == lengths.max()
    trouble = _trouble(found, found[longest], initial_score)
    if trouble:
        return Pick(None, None, trouble)
    places, regrets = _curve(np.log(rates), found, lengths, worst)
    grid = np.linspace(places[0], places[-1], FINENESS)
    expected = _expected(places, regrets, grid, spread, worst) + _away(grid, suggested, weight, reach)
    best = int(np.argmin(expected))
    low, high = _around(best, expected <= expected[best] + TOLERANCE)
    seen_at = float(rates[longest][int(np.nanargmin(_finite(found[longest])))])
    rate = float(np.exp(grid[best]))
    at_end = {float(rates.min()): "lowest", float(rates.max()): "highest"}.get(seen_at)
    interval = float(np.exp(grid[low])), float(np.exp(grid[high]))
    return Pick(rate, interval, _reason(rate, seen_at, int(lengths.max()), at_end), at_end, seen_at)


def centre(learning_rates: ArrayLike, scores: ArrayLike, *, suggested: float | None = None) -> float:
    """The rate around which longer runs should look, from the scores of runs that are all as long."""
    rates, found = (np.asarray(values, dtype=np.float64) for values in (learning_rates, scores))
    if not np.isfinite(found).any():
        return float(rates.min())
    places, regrets = _curve(np.log(rates), found, np.ones(len(rates)), WORST)
    grid = np.linspace(places[0], places[-1], FINENESS)
    expected = _expected(places, regrets, grid, SPREAD, WORST) + _away(grid, suggested, WEIGHT, REACH)
    return float(np.exp(grid[int(np.argmin(expected))]))


def end_of_best(learning_rates: ArrayLike, scores: ArrayLike) -> str | None:
    """Whether the best score is that of the "lowest" or the "highest" rate; "lowest" too where all are NaN."""
    rates, found = (np.asarray(values, dtype=np.float64) for values in (learning_rates, scores))
    order = np.argsort(rates)
    found = _finite(found[order])
    if np.isnan(found).all():
        return "lowest"
    return {0: "lowest", len(found) - 1: "highest"}.get(int(np.nanargmin(found)))


def _trouble(scores: Array, longest: Array, initial_score: float) -> str:
    """Why no rate can be picked, or ""."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return "Every run diverged, also at the lowest rate tried: are the inputs standardised, the targets finite?"
    if not np.isfinite(longest).any():
        return "Every run of the longest diverged: pass a larger `budget`, with which more rates are tried."
    if 1 < len(scores) == len(finite) and np.ptp(finite) <= FLOAT_NOISE * np.abs(finite).max():
        return "Every rate ends with the same held-out loss: it does not depend on the rate, or no weight is trainable."
    if finite.min() >= initial_score - FLOAT_NOISE * abs(initial_score):
        return (
            f"No rate made the held-out loss lower than it was before training, {initial_score:.4g}: nothing was "
            "learned in runs this short, or there is nothing left to learn. Pass a larger `budget`."
        )
    return ""


def _reason(rate: float, seen_at: float, steps: int, at_end: str | None) -> str:
    told = f"Of the runs of {steps} steps {seen_at:.3g} was best"
    if rate < seen_at:
        told += "; less, since too high costs more than too low and what the range test suggests counts too"
    elif rate > seen_at:
        told += "; more, since what the range test suggests counts too"
    return f"{told}." + (f" It was the {at_end} rate tried: a better one may lie outside." if at_end else "")


def _curve(places: Array, scores: Array, steps: Array, worst: float) -> tuple[Array, Array]:
    """Regret over the logarithm of the rate: the longest runs', continued by shorter ones beyond their rates."""
    found, regrets = np.empty(0), np.empty(0)
    for length in np.unique(steps)[::-1]:
        own = np.flatnonzero(steps == length)
        own = own[np.argsort(places[own])]
        at, regret = places[own], _regret(scores[own], worst)
        if not len(found):
            found, regrets = at, regret
            continue
        below, above = at < found[0] - 1e-9, at > found[-1] + 1e-9
        lower = regret[below] + regrets[0] - np.interp(found[0], at, regret)
        upper = regret[above] + regrets[-1] - np.interp(found[-1], at, regret)
        found = np.concatenate([at[below], found, at[above]])
        regrets = np.clip(np.concatenate([lower, regrets, upper]), 0.0, worst)
    return found, regrets


def _regret(scores: Array, worst: float) -> Array:
    """Relative excess over the best; of losses that may be negative, relative to how far they lie apart."""
    finite = np.isfinite(scores)
    if not finite.any():
        return np.full(len(scores), worst)
    best = scores[finite].min()
    scale = best if best > 0 else float(np.ptp(scores[finite])) or 1.0
    return np.minimum(np.where(finite, (scores - best) / scale, worst), worst)


def _expected(places: Array, regrets: Array, grid: Array, spread: float, worst: float) -> Array:
    """The mean regret at each place of the grid, if what is best lies a normal deviate from where it was seen."""
    far = (DEVIATIONS + 1) * spread
    first = np.diff(regrets[:2]) / np.diff(places[:2]) if len(places) > 1 else np.zeros(1)
    slope = max(-float(first[0]), LEAST_SLOPE)
    left, right = places[0] - far, places[-1]
    at = np.concatenate([[left], places, [right + 1e-9, right + far]])
    values = np.concatenate([[regrets[0] + slope * far], regrets, [worst, worst]])
    deviates = np.linspace(-DEVIATIONS, DEVIATIONS, NODES)
    weights = np.exp(-(deviates**2) / 2)
    sampled = np.minimum(np.interp(grid[:, None] + spread * deviates, at, values), max(worst, float(regrets.max())))
    return np.asarray(sampled @ (weights / weights.sum()))


def _away(places: Array, suggested: float | None, weight: float, reach: float) -> Array:
    """What is against each place for being far from what the range test suggests."""
    if suggested is None:
        return np.zeros(len(places))
    far = (places - np.log(suggested)) ** 2
    return np.asarray(weight * far / (far + np.log(reach) ** 2))


def _around(place: int, good: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last of the places in a row that are good, this one among them."""
    bad = np.flatnonzero(~good)
    low = int(bad[bad < place].max(initial=-1)) + 1
    high = int(bad[bad > place].min(initial=len(good))) - 1
    return low, high


def _finite(scores: Array) -> Array:
    return np.where(np.isfinite(scores), scores, np.nan)
