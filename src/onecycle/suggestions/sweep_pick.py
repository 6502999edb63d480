"""The choice of a peak from the scores of short annealed runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle.suggestions.smoothing import Array

# The constants were chosen on the tuning tasks of studies/2026-11-23_picking_the_rate, not on the tasks it judges.

# Standard deviation of the natural logarithm of the best rate of a long run, around the best rate of the short runs.
# The pick minimizes the expected regret under it, so it tends to lie below the best short run: a rate that is too high
# costs more than one that is too low.
SPREAD = 0.9
WORST = 1.0  # regret of a run that diverged or is twice as bad as the best; regrets are clipped there
# The short runs alone do not determine the best rate of a long one, so the distance to the suggestion of the range test
# is penalised: by at most WEIGHT, so that clear scores decide, and by half of WEIGHT at a factor of REACH.
WEIGHT, REACH = 1.0, 5.0
TOLERANCE = 0.05  # expected cost over that of the pick, up to which a rate belongs to the interval
MIN_SLOPE = 0.1  # regret per factor of e below the lowest rate tested, where there is no measurement
DEVIATIONS, NODES = 2.5, 41  # range of the integration in standard deviations, and its number of points
GRID_SIZE = 400  # number of candidate rates
FLOAT_NOISE = 1e-6  # smaller relative differences are rounding errors of a float32 loss


@dataclass(frozen=True)
class Pick:
    """A learning rate picked by a sweep, or None, with the reason.

    Attributes:
        learning_rate: The learning rate, > 0, or None if the scores do not support any.
        interval: Pair (low, high). According to the scores, a rate between them costs at most 5 % more than the pick.
            None without a pick.
        reason: One or two sentences.
        at_end: "lowest" or "highest" if the best run has that rate among all rates tested, so that a better rate may
            lie outside; otherwise None.
        seen_at: Rate of the best of the longest runs, or None.
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
    """Pick the peak of a long run from the held-out losses at the end of short runs.

    Let u be the logarithm of the rate and r(u) the regret of the short runs: their relative excess over the best of
    them, linearly interpolated. The pick is the u that minimizes the mean of r(u + z) over a normal z with standard
    deviation `spread`, plus `weight * d**2 / (d**2 + c**2)`, where d is the distance of u from the logarithm of
    `suggested` and c is the logarithm of `reach`. Of runs of several lengths the longest count. Beyond their rates,
    shorter runs continue the curve.

    Args:
        learning_rates: Float array, `(n,)`, peaks of the short runs, > 0.
        scores: Float array, `(n,)`, held-out loss at the end of each run; NaN or infinite where it diverged.
        steps: Int array, `(n,)`, length of each run.
        initial_score: Held-out loss before training, NaN where it is unknown.
        suggested: Rate suggested by a range test, or None.
        spread: Standard deviation of the best rate of the long run, as a natural logarithm.
        worst: Largest regret.
        weight: Largest penalty for the distance to `suggested`.
        reach: Factor from `suggested` at which the penalty is half of `weight`.
    """
    rates, losses, lengths = (np.asarray(values, dtype=np.float64) for values in (learning_rates, scores, steps))
    longest = lengths == lengths.max()
    problem = _problem(losses, losses[longest], initial_score)
    if problem:
        return Pick(None, None, problem)
    curve = _regret_curve(np.log(rates), losses, lengths, worst)
    grid, cost = _expected_cost(*curve, suggested, spread=spread, worst=worst, weight=weight, reach=reach)
    best = int(np.argmin(cost))
    low, high = _interval(best, cost <= cost[best] + TOLERANCE)
    seen_at = float(rates[longest][int(np.nanargmin(_finite(losses[longest])))])
    rate = float(np.exp(grid[best]))
    at_end = {float(rates.min()): "lowest", float(rates.max()): "highest"}.get(seen_at)
    interval = float(np.exp(grid[low])), float(np.exp(grid[high]))
    text = _reason(rate, seen_at, int(lengths.max()), with_suggestion=suggested is not None)
    outside = f" It was the {at_end} rate tried: a better one may lie outside." if at_end else ""
    return Pick(rate, interval, text + outside, at_end, seen_at)


def search_center(learning_rates: ArrayLike, scores: ArrayLike, *, suggested: float | None = None) -> float:
    """Return the rate around which longer runs should be made; the lowest rate where all runs diverged.

    Args:
        learning_rates: Float array, `(n,)`, peaks of runs of one length, > 0.
        scores: Float array, `(n,)`, held-out loss at the end of each run; NaN or infinite where it diverged.
        suggested: Rate suggested by a range test, or None.
    """
    rates, losses = (np.asarray(values, dtype=np.float64) for values in (learning_rates, scores))
    if not np.isfinite(losses).any():
        return float(rates.min())
    curve = _regret_curve(np.log(rates), losses, np.ones(len(rates)), WORST)
    grid, cost = _expected_cost(*curve, suggested, spread=SPREAD, worst=WORST, weight=WEIGHT, reach=REACH)
    return float(np.exp(grid[int(np.argmin(cost))]))


def best_at_end(learning_rates: ArrayLike, scores: ArrayLike) -> str | None:
    """Return the end of the rates that has the best score: "lowest", "highest" or None for neither.

    Where all scores are NaN or infinite, it is "lowest".
    """
    rates, losses = (np.asarray(values, dtype=np.float64) for values in (learning_rates, scores))
    losses = _finite(losses[np.argsort(rates)])
    if np.isnan(losses).all():
        return "lowest"
    return {0: "lowest", len(losses) - 1: "highest"}.get(int(np.nanargmin(losses)))


def _problem(scores: Array, longest: Array, initial_score: float) -> str:
    """Return a sentence on why no rate can be picked, or ""."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return "Every run diverged, even at the lowest rate: check that inputs are standardized and targets finite."
    if not np.isfinite(longest).any():
        return "All of the longest runs diverged: pass a larger `budget`, so that more rates are tried."
    if 1 < len(scores) == len(finite) and np.ptp(finite) <= FLOAT_NOISE * np.abs(finite).max():
        return "Every rate ends with the same held-out loss: it does not depend on the rate, or no weight is trainable."
    if finite.min() >= initial_score - FLOAT_NOISE * abs(initial_score):
        return (
            f"No rate made the held-out loss lower than it was before training, {initial_score:.4g}: nothing was "
            "learned in runs this short, or there is nothing left to learn. Pass a larger `budget`."
        )
    return ""


def _reason(rate: float, seen_at: float, steps: int, *, with_suggestion: bool) -> str:
    """Return why the pick is where it is.

    Args:
        rate: The pick.
        seen_at: Rate of the best of the longest runs.
        steps: Length of the longest runs.
        with_suggestion: Whether a range test suggests a rate.
    """
    best = f"Of the runs of {steps} steps, {seen_at:.3g} was best"
    if f"{rate:.3g}" == f"{seen_at:.3g}":
        return f"{best}."
    side, cause = ("lower", "a peak that is too high costs more") if rate < seen_at else ("higher", "")
    causes = [cause, "the range test's suggestion counts too" if with_suggestion else ""]
    stated = " and ".join(filter(None, causes)) or "the scores rise less towards higher rates"
    return f"{best}; the pick is {side}, since {stated}."


def _regret_curve(log_rates: Array, scores: Array, steps: Array, worst: float) -> tuple[Array, Array]:
    """Return the regret over the logarithm of the rate: the longest runs', continued by shorter runs beyond them.

    Args:
        log_rates: Float array, `(n,)`, logarithm of the peak of each run.
        scores: Float array, `(n,)`, score of each run.
        steps: Float array, `(n,)`, length of each run.
        worst: Largest regret.

    Returns:
        Logarithms of rates, increasing, and the regret at each.
    """
    places, regrets = np.empty(0), np.empty(0)
    for length in np.unique(steps)[::-1]:
        runs = np.flatnonzero(steps == length)
        runs = runs[np.argsort(log_rates[runs])]
        at, regret = log_rates[runs], _regret(scores[runs], worst)
        if not len(places):
            places, regrets = at, regret
            continue
        # Runs of different lengths have different scores, so the shorter curve is shifted to meet the longer one.
        below, above = at < places[0] - 1e-9, at > places[-1] + 1e-9
        lower = regret[below] + regrets[0] - np.interp(places[0], at, regret)
        upper = regret[above] + regrets[-1] - np.interp(places[-1], at, regret)
        places = np.concatenate([at[below], places, at[above]])
        regrets = np.clip(np.concatenate([lower, regrets, upper]), 0.0, worst)
    return places, regrets


def _regret(scores: Array, worst: float) -> Array:
    """Return the excess over the best score, relative to that score, or to the range of scores if it is negative."""
    finite = np.isfinite(scores)
    if not finite.any():
        return np.full(len(scores), worst)
    best = scores[finite].min()
    scale = best if best > 0 else float(np.ptp(scores[finite])) or 1.0
    return np.minimum(np.where(finite, (scores - best) / scale, worst), worst)


def _expected_cost(
    places: Array,
    regrets: Array,
    suggested: float | None,
    *,
    spread: float,
    worst: float,
    weight: float,
    reach: float,
) -> tuple[Array, Array]:
    """Return the logarithms of the candidate rates, and the expected regret plus the penalty of each."""
    grid = np.linspace(places[0], places[-1], GRID_SIZE)
    return grid, _expected_regret(places, regrets, grid, spread, worst) + _penalty(grid, suggested, weight, reach)


def _expected_regret(places: Array, regrets: Array, grid: Array, spread: float, worst: float) -> Array:
    """Return the mean regret at each candidate if the best rate deviates normally from where it was measured.

    Args:
        places: Float array, `(m,)`, logarithms of rates, increasing.
        regrets: Float array, `(m,)`, regret at each.
        grid: Float array, `(k,)`, logarithms of the candidates.
        spread: Standard deviation.
        worst: Largest regret, and the regret above the highest rate.
    """
    far = (DEVIATIONS + 1) * spread
    # Below the lowest rate the curve goes on with its first slope, but rises at least a little.
    first = np.diff(regrets[:2]) / np.diff(places[:2]) if len(places) > 1 else np.zeros(1)
    slope = max(-float(first[0]), MIN_SLOPE)
    left, right = places[0] - far, places[-1]
    at = np.concatenate([[left], places, [right + 1e-9, right + far]])
    values = np.concatenate([[regrets[0] + slope * far], regrets, [worst, worst]])
    deviates = np.linspace(-DEVIATIONS, DEVIATIONS, NODES)
    weights = np.exp(-(deviates**2) / 2)
    sampled = np.minimum(np.interp(grid[:, None] + spread * deviates, at, values), max(worst, float(regrets.max())))
    return np.asarray(sampled @ (weights / weights.sum()))


def _penalty(grid: Array, suggested: float | None, weight: float, reach: float) -> Array:
    """Return the penalty of each candidate for its distance to the suggestion of the range test."""
    if suggested is None:
        return np.zeros(len(grid))
    squared = (grid - np.log(suggested)) ** 2
    return np.asarray(weight * squared / (squared + np.log(reach) ** 2))


def _interval(index: int, good: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the first and the last index of the run of good candidates around `index`."""
    bad = np.flatnonzero(~good)
    low = int(bad[bad < index].max(initial=-1)) + 1
    high = int(bad[bad > index].min(initial=len(good))) - 1
    return low, high


def _finite(scores: Array) -> Array:
    return np.where(np.isfinite(scores), scores, np.nan)
