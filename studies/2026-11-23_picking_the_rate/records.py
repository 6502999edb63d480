"""The records of this study, read: grids, picks, and the regret of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onecycle.comparison.packed import documents

MATTERS, TIMES_OFF = 0.05, 3.0  # a task counts where a rate so many times off costs so much
CATASTROPHE = 0.5
LARGEST = 1e6  # a loss, which stands for one of a run that diverged
NOTCH = "the grid's best, a notch lower"  # no picker: what a rate 1.58 times too low costs
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

    def expected_regret(self, rate: float) -> float:
        """Regret of a rate in the mean over all seeds, by a straight line between the grid's rates in logarithms.

        The regret of one run has that run's luck in it, which on some tasks is many times what the rate makes.
        """
        mean = np.minimum(self.losses, LARGEST).mean(axis=0)
        there = np.exp(np.interp(np.log(rate), np.log(self.rates), np.log(mean)))
        return float(there / np.mean([self.reference(seed) for seed in self.seeds]) - 1)


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
    """Picker -> for each task, optimizer and seed its rate, cost, and regret in loss and in error; None where none.

    What `picks` records have of sweeps was made by their first version, and is told apart.
    """
    rows = defaultdict(list)
    for (name, optimizer), grid in found.items():
        for record in read(folder / name, f"{optimizer}_ours_*.json"):
            for picker, row in _rows_of(record, name, optimizer, grid):
                rows[picker].append(row)
        for record in read(folder / name, f"{optimizer}_picks_*.json"):
            for picker, row in _rows_of(record, name, optimizer, grid):
                rows[f"{picker}, first version" if picker.startswith("sweep") else picker].append(row)
            seed = record["seed"]
            below = max(0, grid.best(seed) - 1)
            own = {name: getattr(grid, name)[grid.seeds.index(seed), below] for name in ("losses", "errors")}
            row = {"task": name, "optimizer": optimizer, "seed": seed, "cost": float("nan")}
            row["error_regret"] = own["errors"] / max(grid.reference(seed, "errors"), 1e-3) - 1
            rows[NOTCH].append(row | _valued(grid, seed, grid.rates[below], own["losses"]))
    return dict(rows)


def _rows_of(record: dict[str, Any], name: str, optimizer: str, grid: Grid) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each picker of a record with its row."""
    seed, ends = record["seed"], iter(zip(numbers(record["losses"]), numbers(record["errors"]), strict=True))
    for picker, said in record["picks"].items():
        row = {"task": name, "optimizer": optimizer, "seed": seed, **said, "regret": None}
        if said["rate"] is not None:
            loss, error = next(ends)
            row["error_regret"] = error / max(grid.reference(seed, "errors"), 1e-3) - 1
            row |= _valued(grid, seed, said["rate"], loss)
        yield picker, row


def _valued(grid: Grid, seed: int, rate: float, loss: float) -> dict[str, float]:
    return {
        "times_best": rate / grid.rates[grid.best(seed)],
        "regret": loss / grid.reference(seed) - 1,
        "expected_regret": grid.expected_regret(rate),
    }


def read(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """The records of a task, packed or single, in the order of their names."""
    return list(documents(folder, pattern).values())


def numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.inf if value is None else value for value in values])
