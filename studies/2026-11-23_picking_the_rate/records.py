"""The records of this study, read: grids, picks, and the regret of each."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MATTERS, TIMES_OFF = 0.05, 3.0  # a task counts where a rate so many times off costs so much
CATASTROPHE = 0.5
OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class Grid:
    """Full runs of one task with one optimizer.

    Attributes:
        rates: (n,).
        losses: (seeds, n), infinite where a run diverged; `errors` alike.
        seeds: which.
    """

    rates: np.ndarray
    losses: np.ndarray
    errors: np.ndarray
    seeds: tuple[int, ...]

    def best(self, seed: int, of: str = "losses") -> int:
        """Index of the rate that is best on average over the seeds that are not this one."""
        others = [k for k, own in enumerate(self.seeds) if own != seed] or [0]
        return int(np.argmin(getattr(self, of)[others].mean(axis=0)))

    def reference(self, seed: int, of: str = "losses") -> float:
        """What this seed ends with at that rate."""
        return float(getattr(self, of)[self.seeds.index(seed), self.best(seed, of)])

    def cost_of_missing(self) -> tuple[float, float]:
        """Regret of a rate three times too low and three times too high, of the mean over seeds."""
        mean = self.losses.mean(axis=0)
        best, places = int(np.argmin(mean)), np.log(self.rates)
        off = places[best] + np.log(TIMES_OFF) * np.array([-1, 1])
        there = np.interp(off, places, np.where(np.isfinite(mean), mean, 1e30))
        low, high = there / mean[best] - 1
        return float(low), float(high)

    def loss_at(self, seed: int, rate: float) -> float:
        """Between the rates of the grid, by a straight line over the logarithm; for choosing constants alone."""
        own = np.minimum(self.losses[self.seeds.index(seed)], 1e6)
        return float(np.interp(np.log(rate), np.log(self.rates), own))


def grids(folder: Path, names: Any) -> dict[tuple[str, str], Grid]:
    """(task, optimizer) -> grid, of those that have any record."""
    found = {}
    for name in names:
        for optimizer in OPTIMIZERS:
            records = read(folder / name, f"{optimizer}_grid_*.json")
            if records:
                table = [(one["rates"], numbers(one["losses"]), numbers(one["errors"]), one["seed"]) for one in records]
                rates, losses, errors, seeds = zip(*table, strict=True)
                found[name, optimizer] = Grid(np.array(rates[0]), np.array(losses), np.array(errors), seeds)
    return found


def picks(folder: Path, found: dict[tuple[str, str], Grid]) -> dict[str, list[dict[str, Any]]]:
    """Picker -> for each task, optimizer and seed its rate, cost, and regret in loss and in error; None where none."""
    rows = defaultdict(list)
    for (name, optimizer), grid in found.items():
        for record in read(folder / name, f"{optimizer}_picks_*.json"):
            seed, ends = record["seed"], iter(zip(numbers(record["losses"]), numbers(record["errors"]), strict=True))
            for picker, said in record["picks"].items():
                row = {"task": name, "optimizer": optimizer, "seed": seed, **said, "regret": None}
                if said["rate"] is not None:
                    loss, error = next(ends)
                    row["times_best"] = said["rate"] / grid.rates[grid.best(seed)]
                    row["regret"] = loss / grid.reference(seed) - 1
                    row["error_regret"] = error / max(grid.reference(seed, "errors"), 1e-3) - 1
                rows[picker].append(row)
    return dict(rows)


def read(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(pattern))]


def numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.inf if value is None else value for value in values])
