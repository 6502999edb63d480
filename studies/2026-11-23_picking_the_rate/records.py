"""Read the records of this study: grids, picks, and the regret of each pick."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onecycle.comparison.packed import documents

MIN_COST, TIMES_OFF = 0.05, 3.0  # a task counts if a learning rate off by a factor of 3 costs 5 % or more
CATASTROPHE = 0.5  # regret above which a pick is catastrophic
MAX_LOSS = 1e6  # stands for the loss of a run that diverged
REFERENCE = "best of the grid / 1.58 (reference)"  # not a picker: the learning rate one step below the best
OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class Grid:
    """Full runs of one task with one optimizer.

    Attributes:
        rates: Learning rates, shape (n,).
        losses: Held-out losses, shape (seeds, n), infinite where a run diverged.
        errors: Held-out errors, like `losses`.
        seeds: Seeds of the rows.
    """

    rates: np.ndarray
    losses: np.ndarray
    errors: np.ndarray
    seeds: tuple[int, ...]

    def best(self, seed: int, of: str = "losses") -> int:
        """Return the index of the learning rate that is best on average over the other seeds."""
        others = [k for k, other in enumerate(self.seeds) if other != seed] or [0]
        return int(np.argmin(getattr(self, of)[others].mean(axis=0)))

    def reference(self, seed: int, of: str = "losses") -> float:
        """Return the loss or error of this seed at that learning rate."""
        return float(getattr(self, of)[self.seeds.index(seed), self.best(seed, of)])

    def cost_of_missing(self) -> tuple[float, float]:
        """Return the regrets, for the mean over seeds, of learning rates three times too low and too high."""
        mean = self.losses.mean(axis=0)
        best, logs = int(np.argmin(mean)), np.log(self.rates)
        off = logs[best] + np.log(TIMES_OFF) * np.array([-1, 1])
        loss = np.interp(off, logs, np.where(np.isfinite(mean), mean, 1e30))
        low, high = loss / mean[best] - 1
        return float(low), float(high)

    def expected_regret(self, rate: float) -> float:
        """Return the regret of a learning rate for the mean over seeds, interpolated linearly in logarithms.

        The regret of a single run includes its luck, which on some tasks is many times the effect of the learning rate.
        """
        mean = np.minimum(self.losses, MAX_LOSS).mean(axis=0)
        loss = np.exp(np.interp(np.log(rate), np.log(self.rates), np.log(mean)))
        return float(loss / np.mean([self.reference(seed) for seed in self.seeds]) - 1)


def grids(folder: Path, names: Any) -> dict[tuple[str, str], Grid]:
    """Return the grid of each (task, optimizer) that has records."""
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
    """Return for each picker its rate, cost and regrets on each task, optimizer and seed; the regret may be None.

    The sweeps in `picks` records are those of the first version, and are listed separately.
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
            ends = {name: getattr(grid, name)[grid.seeds.index(seed), below] for name in ("losses", "errors")}
            row = {"task": name, "optimizer": optimizer, "seed": seed, "cost": float("nan")}
            row["error_regret"] = ends["errors"] / max(grid.reference(seed, "errors"), 1e-3) - 1
            rows[REFERENCE].append(row | _regrets(grid, seed, grid.rates[below], ends["losses"]))
    return dict(rows)


def _rows_of(record: dict[str, Any], name: str, optimizer: str, grid: Grid) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each picker of a record with its row."""
    seed, ends = record["seed"], iter(zip(numbers(record["losses"]), numbers(record["errors"]), strict=True))
    for picker, pick in record["picks"].items():
        row = {"task": name, "optimizer": optimizer, "seed": seed, **pick, "regret": None}
        if pick["rate"] is not None:
            loss, error = next(ends)
            row["error_regret"] = error / max(grid.reference(seed, "errors"), 1e-3) - 1
            row |= _regrets(grid, seed, pick["rate"], loss)
        yield picker, row


def _regrets(grid: Grid, seed: int, rate: float, loss: float) -> dict[str, float]:
    """Return the regrets of a pick.

    Args:
        grid: Grid of the task.
        seed: Seed of the run at the picked learning rate.
        rate: Picked learning rate.
        loss: Held-out loss of that run.
    """
    return {
        "times_best": rate / grid.rates[grid.best(seed)],
        "regret": loss / grid.reference(seed) - 1,
        "expected_regret": grid.expected_regret(rate),
    }


def read(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """Return the records of a task, packed or single, in the order of their names."""
    return list(documents(folder, pattern).values())


def numbers(values: list[float | None]) -> np.ndarray:
    """Return the values as an array, with infinity for None."""
    return np.array([np.inf if value is None else value for value in values])
