"""The pickers of other projects, with their defaults, written from their definitions.

fastai 2.8.12, Lightning 2.6.6, torch-lr-finder 0.2.2. Each has its own stopping rule, so the input is the losses of a
full ramp, NaN from the first step at which they are not finite. All curves are cut there. This favors torch-lr-finder,
which does not stop at NaN: its rule would then pick the first NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

STEPS = 100  # the default of all three


def ramp(first: float, last: float, at: np.ndarray) -> np.ndarray:
    """Return learning rates on an exponential ramp.

    Args:
        first: First learning rate.
        last: Last learning rate.
        at: Positions on the ramp, from 0 to 1.
    """
    return first * (last / first) ** at


STEP = np.arange(STEPS)
RAMPS = {
    "fastai": ramp(1e-7, 10.0, STEP / STEPS),
    "lightning": ramp(1e-8, 1.0, np.where(STEP == 0, 0, (STEP + 1) / STEPS)),
    "torch-lr-finder": ramp(1e-7, 10.0, STEP / (STEPS - 1)),
}


def picks(losses: dict[str, Sequence[float]]) -> dict[str, float | None]:
    """Return the learning rate of each rule, or None if it picks none, from the losses of its project's ramp."""
    results = {}
    for name, (project, smooth, stop, begin, end, rule) in RULES.items():
        smoothed = stop_at_divergence(smooth(np.asarray(losses[project], float)), stop)
        kept = slice(begin, max(begin, len(smoothed) - end))
        results[name] = apply_rule(rule, RAMPS[project][: len(smoothed)][kept], smoothed[kept])
    return results


def apply_rule(rule: Callable, rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Return the learning rate of a rule, or None if it fails or returns no positive number."""
    good = np.isfinite(losses)
    if len(rates) < 2 or not good.any():
        return None
    try:
        rate = float(rule(rates, losses))
    except (IndexError, ValueError):
        return None
    return rate if np.isfinite(rate) and rate > 0 else None


def debiased_average(losses: np.ndarray, decay: float = 0.98) -> np.ndarray:
    """Return the bias-corrected moving average of fastai and Lightning."""
    average, results = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = decay * average + (1 - decay) * loss
        results.append(average / (1 - decay**step))
    return np.array(results)


def exponential_average(losses: np.ndarray, weight: float = 0.05) -> np.ndarray:
    """Return the moving average of torch-lr-finder, which starts with the first loss."""
    results = [losses[0]]
    for loss in losses[1:]:
        results.append(weight * loss + (1 - weight) * results[-1])
    return np.array(results)


def stop_at_divergence(losses: np.ndarray, times: float) -> np.ndarray:
    """Return the losses up to the first that exceeds `times` the best before it, or is not finite."""
    best = np.inf
    for step, loss in enumerate(losses):
        if not np.isfinite(loss):
            return losses[:step]
        if step and loss > times * best:
            return losses[: step + 1]
        best = min(best, loss)
    return losses


def minimum(rates: np.ndarray, losses: np.ndarray) -> float:
    return rates[np.argmin(losses)] / 10


def steep(rates: np.ndarray, losses: np.ndarray) -> float:
    return rates[np.argmin(np.diff(losses) / np.diff(np.log(rates)))]


def valley(rates: np.ndarray, losses: np.ndarray) -> float:
    """Return the middle of the longest decreasing subsequence; fastai takes its start as its end minus its length."""
    lengths = np.ones(len(losses), int)
    for i in range(1, len(losses)):
        before = lengths[:i][losses[:i] > losses[i]]
        lengths[i] = 1 + before.max(initial=0)
    end = int(np.argmax(lengths))
    if lengths[end] == 1:
        return rates[0]
    start = end - lengths[end]
    third = (end - start) / 3
    return rates[start + int(third) + int(third / 2)]


def slide(rates: np.ndarray, losses: np.ndarray, distance: int = 15, threshold: float = 0.005) -> float:
    slopes = np.gradient(losses)
    right, left = -1, -1 - distance
    rate = rates[left]
    while left >= -len(losses) and abs(slopes[right] - slopes[left]) > threshold:
        rate = rates[left]
        right, left = right - 1, left - 1
    return rate


def steepest_by_index(rates: np.ndarray, losses: np.ndarray) -> float:
    return rates[np.argmin(np.gradient(losses))]


def steepest_by_rate(rates: np.ndarray, losses: np.ndarray) -> float:
    good = np.isfinite(losses)
    return rates[good][np.argmin(np.gradient(losses[good], rates[good]))]


# Name -> project, smoothing, divergence factor, points skipped at the start and at the end, rule.
RULES = {
    "fastai valley": ("fastai", debiased_average, 4.0, 10, 5, valley),
    "fastai slide": ("fastai", debiased_average, 4.0, 10, 5, slide),
    "fastai minimum": ("fastai", debiased_average, 4.0, 10, 5, minimum),
    "fastai steep": ("fastai", debiased_average, 4.0, 10, 5, steep),
    "Lightning": ("lightning", debiased_average, 4.0, 10, 1, steepest_by_rate),
    "torch-lr-finder": ("torch-lr-finder", exponential_average, 5.0, 10, 5, steepest_by_index),
}
