"""The grid of learning rates: which runs are missing, and what the finished ones say. Without keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from onecycle.comparison.packed import documents

SEEDS = tuple(range(5))
PER_DECADE, HALF_DECADE = 4, 2  # learning rates are 10 ** (k / 4); the grid has every second one
RATES_BESIDE = 4  # on each side of the best, in half-decades: nine in all
ENDS = -26, 8  # the grid never leaves 3e-7 to 100, so that it ends where all rates are equally good
CLEARLY_WORSE = 1.1  # the least loss at both ends of the grid, as a multiple of the best
GUESSES = {"sgd": -4, "adam": -10, "adamw": -10}  # where the grid is first centered: 0.1 and 0.00316
FLOOR = 0.05  # of the loss of guessing: the least loss by which a regret is divided


def rate_of(place: int) -> float:
    """Return the learning rate of a place on the grid."""
    return float(10 ** (place / PER_DECADE))


def place_of(rate: float) -> int:
    """Return the place of a learning rate on the grid."""
    return round(PER_DECADE * np.log10(rate))


Losses = Mapping[tuple[int, int], float]  # (place, seed) -> selection loss, infinite where a run diverged


def missing_runs(losses: Losses, optimizer: str, seeds: tuple[int, ...] = SEEDS) -> list[tuple[int, int]]:
    """Return the runs (place, seed) that come next, none if the truth is complete.

    The first seed finds the center of the grid; the other seeds follow and may move it. The grid is then extended while
    its ends are not clearly worse than the best, since a second basin may follow. At last come the two quarter-decades
    beside the best. Only the loss on the selection rows decides where runs are made.

    Args:
        losses: The finished runs.
        optimizer: A key of `GUESSES`.
        seeds: All seeds.
    """
    for group in (seeds[:1], seeds):
        missing = _missing_around_best(losses, GUESSES[optimizer], group)
        if missing:
            return missing
    best = best_half_decade(losses, seeds)
    places = [*_places_beyond_ends(losses, seeds, best), best - 1, best + 1]
    missing = [[(place, seed) for seed in seeds if (place, seed) not in losses] for place in places]
    # One place at a time: where it ends, the next is decided anew.
    return next((runs for runs in missing if runs), [])


def _places_beyond_ends(losses: Losses, seeds: tuple[int, ...], best: int) -> list[int]:
    """Return the next half-decade beyond each end of the grid that is not clearly worse than the best."""
    done = _complete_places(losses, seeds)
    ends = {done[0]: done[0] - HALF_DECADE, done[-1]: done[-1] + HALF_DECADE}
    limit = CLEARLY_WORSE * _mean(losses, best, seeds)
    return [
        beyond for end, beyond in ends.items() if _mean(losses, end, seeds) < limit and ENDS[0] <= beyond <= ENDS[1]
    ]


def _mean(losses: Losses, place: int, seeds: tuple[int, ...]) -> float:
    return float(np.mean([losses[place, seed] for seed in seeds]))


def _missing_around_best(losses: Losses, guess: int, seeds: tuple[int, ...]) -> list[tuple[int, int]]:
    reach = RATES_BESIDE * HALF_DECADE
    done = _complete_places(losses, seeds)
    # The other seeds begin where the first one found the best.
    center = best_half_decade(losses, seeds if done else seeds[:1]) if losses else guess
    places = range(max(ENDS[0], center - reach), min(ENDS[1], center + reach) + 1, HALF_DECADE)
    # From the center outwards, so that a few runs already say where the best is.
    ordered = sorted(places, key=lambda place: abs(place - center))
    return [(place, seed) for seed in seeds for place in ordered if (place, seed) not in losses]


def _complete_places(losses: Losses, seeds: tuple[int, ...]) -> list[int]:
    """Return the half-decades at which all seeds have run."""
    places = sorted({place for place, _ in losses if place % HALF_DECADE == 0})
    return [place for place in places if all((place, seed) in losses for seed in seeds)]


def best_half_decade(losses: Losses, seeds: tuple[int, ...] = SEEDS) -> int:
    """Return the half-decade with the lowest mean loss of these seeds, of those at which all have run."""
    return min(_complete_places(losses, seeds), key=lambda place: _mean(losses, place, seeds))


@dataclass(frozen=True)
class Truth:
    """The finished runs of a task: arrays of shape (places, seeds), infinite where a run diverged.

    Attributes:
        task: Name of the task.
        facts: What all its records have in common, such as the losses of guessing.
        rates: (places,) learning rates at which all seeds have run, from low to high.
        values: "selection_loss", "selection_error", "test_loss", "test_error" and "train_loss" -> array.
    """

    task: str
    facts: dict[str, Any]
    rates: np.ndarray
    values: dict[str, np.ndarray]

    def best(self, part: str = "test_loss", without: int | None = None) -> int:
        """Return the index of the rate with the lowest mean over seeds, one of which may be left out."""
        kept = [k for k in range(len(SEEDS)) if k != without]
        return int(np.argmin(self.values[part][:, kept].mean(axis=1)))

    @cached_property
    def deviation(self) -> float:
        """The standard deviation of the test loss over seeds at the best rate."""
        return float(self.values["test_loss"][self.best()].std(ddof=1))

    def reference(self, seed: int, part: str = "test_loss") -> float:
        """Return what a seed reaches at the rate whose test loss is best for the other seeds."""
        return float(self.values[part][self.best(without=seed), seed])

    def floored(self, loss: float, reference: float, part: str = "test_loss") -> float:
        """Return the regret of a loss, divided by the reference or by 5 % of the loss of guessing."""
        return (loss - reference) / max(reference, FLOOR * self.facts["guessing"][part.partition("_")[0]])


def read_truth(folder: Path) -> Truth | None:
    """Return the truth of a task from its records, packed or single; None without a complete grid.

    Raises:
        ValueError: If its records are not of the same data, model and length.
    """
    records = read_runs(folder)
    losses = {key: as_loss(record["selection_loss"]) for key, record in records.items()}
    if not records or missing_runs(losses, next(iter(records.values()))["optimizer"]):
        return None
    places = [p for p in sorted({place for place, _ in records}) if all((p, seed) in records for seed in SEEDS)]
    names = ("selection_loss", "selection_error", "test_loss", "test_error", "train_loss")
    values = {
        name: np.array([[as_loss(records[place, seed][name]) for seed in SEEDS] for place in places]) for name in names
    }
    return Truth(folder.name, common_facts(records), np.array([rate_of(place) for place in places]), values)


def read_runs(folder: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the records of the runs of the grid, by place and seed."""
    found = documents(folder, "cycle_*.json").values()
    return {(place_of(record["rate"]), record["seed"]): record for record in found}


FACTS = (
    "task", "optimizer", "classes", "epochs", "batch_size", "steps", "weights", "data", "start", "guessing", "rows",
)  # fmt: skip


def common_facts(records: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    """Return what the records have in common.

    Raises:
        ValueError: If they differ in it.
    """
    kinds = {repr({name: record[name] for name in FACTS}) for record in records.values()}
    if len(kinds) > 1:
        raise ValueError(f"The records of a task must agree in {', '.join(FACTS)}. Received: {'; '.join(kinds)}")
    record = next(iter(records.values()))
    return {name: record[name] for name in FACTS}


def as_loss(value: float | None) -> float:
    """Return a recorded value, infinite where there is none."""
    return np.inf if value is None else value
