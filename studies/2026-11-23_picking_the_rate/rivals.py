"""Other projects' pickers, from their definitions, with their own defaults: losses of each batch in, a rate out.

fastai 2.8.12, Lightning 2.6.6, torch-lr-finder 0.2.2. Each stops by its own rule, so the losses of a whole ramp are
handed in, NaN from the step on at which they were no more finite. All curves are cut there, which is kinder to
torch-lr-finder than it is to itself: it runs on, and its rule then points at the first NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

STEPS = 100  # all three


def ramp(first: float, last: float, at: np.ndarray) -> np.ndarray:
    """Rates with equal ratios, at these shares of the way from the first to the last."""
    return first * (last / first) ** at


STEP = np.arange(STEPS)
RAMPS = {
    "fastai": ramp(1e-7, 10.0, STEP / STEPS),
    "lightning": ramp(1e-8, 1.0, np.where(STEP == 0, 0, (STEP + 1) / STEPS)),
    "torch-lr-finder": ramp(1e-7, 10.0, STEP / (STEPS - 1)),
}


def picks(losses: dict[str, Sequence[float]]) -> dict[str, float | None]:
    """What each rule says of the losses of its project's ramp; None where it says nothing."""
    found = {}
    for name, (project, smooth, stop, begin, end, rule) in RULES.items():
        smoothed = stopped(smooth(np.asarray(losses[project], float)), stop)
        kept = slice(begin, max(begin, len(smoothed) - end))
        found[name] = asked(rule, RAMPS[project][: len(smoothed)][kept], smoothed[kept])
    return found


def asked(rule: Callable, rates: np.ndarray, losses: np.ndarray) -> float | None:
    good = np.isfinite(losses)
    if len(rates) < 2 or not good.any():
        return None
    try:
        rate = float(rule(rates, losses))
    except (IndexError, ValueError):
        return None
    return rate if np.isfinite(rate) and rate > 0 else None


def averaged(losses: np.ndarray, decay: float = 0.98) -> np.ndarray:
    """The debiased moving average of fastai and Lightning."""
    average, found = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = decay * average + (1 - decay) * loss
        found.append(average / (1 - decay**step))
    return np.array(found)


def blended(losses: np.ndarray, weight: float = 0.05) -> np.ndarray:
    """torch-lr-finder's, which begins with the first loss."""
    found = [losses[0]]
    for loss in losses[1:]:
        found.append(weight * loss + (1 - weight) * found[-1])
    return np.array(found)


def stopped(losses: np.ndarray, times: float) -> np.ndarray:
    """The losses up to and with the first above so many times the best before, or that is no number."""
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
    """The middle of the longest decreasing subsequence, whose start fastai takes to be its end less its length."""
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


# name -> project, smoothing, times the best at which it stops, points left out at either end, rule
RULES = {
    "fastai valley": ("fastai", averaged, 4.0, 10, 5, valley),
    "fastai slide": ("fastai", averaged, 4.0, 10, 5, slide),
    "fastai minimum": ("fastai", averaged, 4.0, 10, 5, minimum),
    "fastai steep": ("fastai", averaged, 4.0, 10, 5, steep),
    "Lightning": ("lightning", averaged, 4.0, 10, 1, steepest_by_rate),
    "torch-lr-finder": ("torch-lr-finder", blended, 5.0, 10, 5, steepest_by_index),
}
