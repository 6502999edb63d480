"""Error rates and power of rules for a verdict on paired differences: python run.py writes rates.csv in minutes."""

from __future__ import annotations

import csv
import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

OF = ("per", "any")
RULES = (
    "sign flips Holm", "t Bonferroni", "t Bonferroni floor", "t Holm", "t Dunnett", "t and sign flips Bonferroni",
    "two one-sided t Holm", "two one-sided t Bonferroni", "interval Bonferroni",
)  # fmt: skip

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

HERE = Path(__file__).parent
LEVEL, SEEDS, ARMS, SIZES = 0.05, (2, 3, 4, 5, 6, 8, 10, 20), (1, 2, 3, 5), (1.0, 2.0, 3.0, 4.0, 5.0)
FLIPS, EXPERIMENTS, EXPERIMENTS_AT_20 = 2**12, 20_000, 5_000
FEWEST_FOR_FLIPS = 6  # the smallest p value of 5 seeds is above the level
FAILING, DROP = 0.1, 10.0  # fraction of the runs that fail, and by how many standard deviations
ROUNDING = 0.5  # smallest standard deviation, in units of the resolution


def main() -> None:
    with (HERE / "rates.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["kind", "distribution", "seeds", "arms", *(f"{rule}, {of} arm" for rule in RULES for of in OF)]
        )
        for kind, shapes in (("differences", DIFFERENCES), ("runs", RUNS), ("effect", EFFECTS), ("margin", MARGINS)):
            for shape, (draw, resolution) in shapes.items():
                for seeds, arms in itertools.product(SEEDS, ARMS):
                    found = verdicts(kind, draw, resolution, seeds, arms)
                    rates = {rule: (f"{one.mean():.4f}", f"{one.any(-1).mean():.4f}") for rule, one in found.items()}
                    cells = [cell for rule in RULES for cell in rates.get(rule, ("", ""))]
                    writer.writerow([kind, shape, seeds, arms, *cells])


def verdicts(kind: str, draw: Callable[..., Array], resolution: float, seeds: int, arms: int) -> dict[str, Bools]:
    """Rule -> whether there is a verdict, of shape (experiments, arms)."""
    draws = np.random.default_rng([seeds, arms, 20261127])
    values = draw(draws, (EXPERIMENTS_AT_20 if seeds == 20 else EXPERIMENTS, arms, seeds))
    if kind == "margin":
        p = margin_p(values)
        return {
            "two one-sided t Holm": holm(p) & (seeds >= 6),
            "two one-sided t Bonferroni": bonferroni(p),
            "interval Bonferroni": bonferroni(2 * p),
        }
    p = t_p(values)
    found = {
        "t Bonferroni": bonferroni(p),
        "t Holm": holm(p),
        "t Dunnett": p <= 2 * special.stdtr(seeds - 1, -dunnett_critical(seeds, arms)),
    }
    if seeds >= FEWEST_FOR_FLIPS:
        flips = sign_flip_p(values)
        found["sign flips Holm"] = holm(flips)
        found["t and sign flips Bonferroni"] = bonferroni(np.maximum(p, flips))
    if resolution:
        found["t Bonferroni floor"] = bonferroni(t_p(values, ROUNDING * resolution))
    return found


def t_p(values: Array, floor: float = 0.0) -> Array:
    """Two-sided p of Student's t over the last axis. The standard deviation is at least the floor."""
    seeds = values.shape[-1]
    mean, deviation = values.mean(-1), np.maximum(values.std(-1, ddof=1), floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) / (deviation / np.sqrt(seeds))
    # Rounded differences: a spread that is 0 but for rounding errors of the computer
    t = np.where(deviation < 1e-12, np.where(np.abs(mean) < 1e-12, 0.0, np.inf), t)
    return 2 * special.stdtr(seeds - 1, -t)


def bonferroni(p: Array) -> Bools:
    return p * p.shape[-1] <= LEVEL


def holm(p: Array) -> Bools:
    arms = p.shape[-1]
    rejected = np.logical_and.accumulate(np.sort(p, -1) * np.arange(arms, 0, -1) <= LEVEL, axis=-1)
    return np.argsort(np.argsort(p, -1), -1) < rejected.sum(-1, keepdims=True)


def sign_flip_p(values: Array) -> Array:
    """Two-sided p of the sign-flip test of the mean; all flips up to 14 seeds."""
    seeds = values.shape[-1]
    if seeds <= 14:
        signs = 1.0 - 2.0 * ((np.arange(2**seeds)[:, None] >> np.arange(seeds)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, seeds))
    flat = values.reshape(-1, seeds)
    counts = np.concatenate([
        (np.abs(part @ signs.T) >= np.abs(part.sum(-1, keepdims=True)) * (1 - 1e-9) - 1e-12).sum(-1)
        for part in np.array_split(flat, max(1, len(flat) * len(signs) // 2**24))
    ])  # fmt: skip
    p = counts / len(signs) if seeds <= 14 else (1 + counts) / (1 + len(signs))
    return p.reshape(values.shape[:-1])


@functools.cache
def dunnett_critical(seeds: int, arms: int) -> float:
    """Two-sided critical value of Dunnett's many-to-one t, with correlations of 1/2 as for equal variances."""
    if arms == 1:
        return float(special.stdtrit(seeds - 1, 1 - LEVEL / 2))
    joint = stats.multivariate_t(shape=0.5 + 0.5 * np.eye(arms), df=seeds - 1)

    def excess(value: float) -> float:
        ends = np.full(arms, value)
        return float(joint.cdf(ends, lower_limit=-ends, maxpts=100_000, random_state=1)) - (1 - LEVEL)

    return float(optimize.brentq(excess, 1.0, float(special.stdtrit(seeds - 1, 1 - LEVEL / 2 / arms)) + 1, xtol=1e-3))


def margin_p(values: Array) -> Array:
    """p of equivalence within a margin of 1, the larger of two one-sided t tests."""
    seeds = values.shape[-1]
    error = values.std(-1, ddof=1) / np.sqrt(seeds)
    return special.stdtr(seeds - 1, -(1 - np.abs(values.mean(-1))) / error)


def failing(draws: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return draws.normal(size=shape) - DROP * (draws.random(shape) < FAILING)


def against_baseline(draw: Callable[..., Array]) -> Callable[..., Array]:
    """Arms and a baseline with the same distribution: their differences share the baseline."""

    def differences(draws: np.random.Generator, shape: tuple[int, ...]) -> Array:
        experiments, arms, seeds = shape
        runs = draw(draws, (experiments, arms + 1, seeds))
        return runs[:, 1:] - runs[:, :1]

    return differences


def rounded(deviation: float) -> Callable[..., Array]:
    return lambda draws, shape: np.round(draws.normal(0, deviation, shape))


Shapes = dict[str, tuple[Callable[..., Array], float]]  # name -> (function that draws, resolution)
# Differences with mean 0, each arm by itself
DIFFERENCES: Shapes = {
    "normal": (lambda draws, shape: draws.normal(size=shape), 0),
    "uniform": (lambda draws, shape: draws.uniform(-1, 1, shape), 0),
    "Laplace": (lambda draws, shape: draws.laplace(size=shape), 0),
    "t with 3 degrees": (lambda draws, shape: draws.standard_t(3, shape), 0),
    "exponential": (lambda draws, shape: draws.exponential(size=shape) - 1, 0),
    "1 in 10 of the arm fails": (lambda draws, shape: failing(draws, shape) + DROP * FAILING, 0),
    "rounded deviation 0.3": (rounded(0.3), 1),
    "rounded deviation 0.5": (rounded(0.5), 1),
    "rounded deviation 1": (rounded(1.0), 1),
    "rounded deviation 2": (rounded(2.0), 1),
}
# Runs of arms that are all the same
RUNS: Shapes = {
    "normal": (against_baseline(lambda draws, shape: draws.normal(size=shape)), 0),
    "exponential": (against_baseline(lambda draws, shape: draws.exponential(size=shape)), 0),
    "1 in 10 fails": (against_baseline(failing), 0),
    "1 in 2 fails": (
        against_baseline(lambda draws, shape: 0.1 * draws.normal(size=shape) + (draws.random(shape) < 0.5)), 0),
    "rounded deviation 0.3": (against_baseline(rounded(0.3)), 1),
    "rounded deviation 0.5": (against_baseline(rounded(0.5)), 1),
    "rounded deviation 1": (against_baseline(rounded(1.0)), 1),
    "noisy arms": (lambda draws, shape: 3 * draws.normal(size=shape) + draws.normal(size=(shape[0], 1, shape[2])), 0),
}  # fmt: skip
# Normal differences of 1 ... 5 standard deviations, in every arm
EFFECTS: Shapes = {f"{size:g}": (lambda d, shape, size=size: d.normal(size, 1, shape), 0) for size in SIZES}
# Equivalence within a margin of 1: no difference, with a margin of 1 ... 5 deviations; and a difference of the margin
MARGINS: Shapes = {
    f"margin {size:g}": (lambda d, shape, size=size: d.normal(0, 1 / size, shape), 0) for size in SIZES
} | {"difference of the margin": (lambda draws, shape: draws.normal(1, 0.3, shape), 0)}

if __name__ == "__main__":
    main()
