"""`reproduce`: the article's experiments, run by the protocol in `protocol.py`, and what they say."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onecycle.comparison.article.protocol import (
    BASELINE,
    CYCLE,
    FIRST_GRID_SEED,
    HALF_DECADE,
    PROTOCOLS,
    VALIDATION_SHARE,
    Protocol,
    constant,
)
from onecycle.comparison.article.savings import Savings, savings
from onecycle.comparison.article.task_runs import held_out_split, task_model, task_split
from onecycle.comparison.comparing import compare, concluded
from onecycle.comparison.measures import record_of
from onecycle.comparison.store import Store
from onecycle.results.comparison import Comparison, Verdict

MOST_GROWTHS = 6  # ours: three decades beyond the protocol's grid; what is best further out is a fault elsewhere


@dataclass(frozen=True)
class Reproduction:
    """One of the article's experiments, done again.

    Attributes:
        protocol: How.
        tuned: Momentum -> the constant rate that the grid chose.
        grid: The runs of the grid: part of the training data held out, no test data.
        main: Baseline, tuned constants and cycles, on the test data.
        side: Adam and other shapes of the schedule, beside the baseline.
    """

    protocol: Protocol
    tuned: Mapping[float, float]
    grid: Comparison
    main: Comparison
    side: Comparison

    def savings(self) -> list[Savings]:
        """What whole cycles save against the baseline and the tuned constants."""
        cycles = tuple(arm for arm in self.main.arms if arm.startswith(CYCLE))
        return [savings(self.main, arm, cycles) for arm in self.main.arms if arm not in cycles]

    def against_cycle(self) -> list[Verdict]:
        """The verdicts on the other arms of full length, each held against the cycle."""
        return against_cycle(self.main, self.side)

    def summary(self) -> str:
        """Returns the result as text: the tables, the verdicts, and the epochs that whole cycles save."""
        rates = " and ".join(f"{rate:.2g} with momentum {momentum:g}" for momentum, rate in self.tuned.items())
        lines = [f"{self.protocol.task}: constant rates chosen on held-out training data: {rates}.", ""]
        lines += [self.main.table(), "", self.side.table(), ""]
        lines += [verdict.sentence for verdict in self.against_cycle()]
        lines += ["", "The shortest of the whole cycles, sought seed by seed after the runs, so somewhat optimistic:"]
        return "\n".join([*lines, *(found.summary() for found in self.savings())])

    def facts(self) -> dict[str, Any]:
        """Returns what a program wants to know of it, as JSON can hold it; the runs are in the folder."""
        return {
            "task": self.protocol.task,
            "tuned": {f"momentum {momentum:g}": rate for momentum, rate in self.tuned.items()},
            "arms": [*self.main.rows(), *self.side.rows()[1:]],
            "against_cycle": [verdict.sentence for verdict in self.against_cycle()],
            "savings": [found.facts() for found in self.savings()],
        }


def reproduce(
    name: str,
    *,
    directory: str | os.PathLike[str],
    seeds: int | None = None,
    epochs: int | None = None,
    jobs: int = 1,
    verbose: int | str = "auto",
) -> Reproduction:
    """Run one of the article's experiments again, or what is missing of it.

    The data are those of `onecycle.tasks`: of the folder ONECYCLE_DATA, or downloaded by Keras.

    Args:
        name: "boston-housing", "fashion-mnist" or "cifar10".
        directory: Folder for the records, one file a run, written as it ends.
        seeds: In place of the protocol's number.
        epochs: In place of the protocol's; whole cycles that are not shorter are left out.
        jobs: Processes.
        verbose: As in `compare`.

    Raises:
        ValueError: For a name that the article has no experiment of.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"Argument `name` must be one of {', '.join(PROTOCOLS)}. Received: name={name!r}")
    protocol = PROTOCOLS[name].shortened(seeds=seeds, epochs=epochs)
    folder = Path(directory) / name
    options: dict[str, Any] = {"metric": f"val_{protocol.metric}", "jobs": jobs, "verbose": verbose}
    tuned, grid = choose_rates(protocol, folder / "grid", options)
    options |= {"epochs": protocol.epochs, "margin": protocol.margin}
    build, data = functools.partial(task_model, name), functools.partial(task_split, name)
    main = compare(build, data, protocol.main_arms(tuned), seeds=protocol.seeds, directory=folder / "main", **options)
    lend((BASELINE,), folder / "main", folder / "side", protocol.side_seeds)
    side = compare(build, data, protocol.side_arms(), seeds=protocol.side_seeds, directory=folder / "side", **options)
    return Reproduction(protocol, tuned, grid, main, side)


def against_cycle(main: Comparison, side: Comparison | None) -> list[Verdict]:
    """The verdicts on the metric after the last epoch of all arms of full length but the cycle, which they are held to.

    p is adjusted for the number of main arms, and for that of side arms, which may have other seeds.
    """
    records = {(run["arm"], run["seed"]): run for run in (*main.runs, *(side.runs if side is not None else ()))}
    groups = [(tuple(arm for arm in main.arms if not arm.startswith(CYCLE)), main.seeds)]
    groups += [] if side is None else [(side.arms[1:], side.seeds)]
    found: list[Verdict] = []
    for others, seeds in groups:
        arms = (CYCLE, *others)
        runs = [record_of(records[arm, seed]) for arm in arms for seed in seeds]
        held = concluded(runs, arms, seeds, metric=main.metric, mode=main.mode, margin=main.margin)
        found += [held.verdicts[arm]["final"] for arm in others]
    return found


def choose_rates(protocol: Protocol, folder: Path, options: dict[str, Any]) -> tuple[dict[float, float], Comparison]:
    """The best constant rate of SGD without and with momentum, on training data held out from training.

    While the best of a grid is at one of its ends, the grid grows by half a decade there.

    Raises:
        RuntimeError: Where no best lies inside: all rates diverge, or it is at an end still after several growths.
    """
    rates = {momentum: list(protocol.grid) for momentum in (0.0, 0.9)}
    seeds = range(FIRST_GRID_SEED, FIRST_GRID_SEED + protocol.grid_seeds)
    data = functools.partial(held_out_split, protocol.task, VALIDATION_SHARE)
    build = functools.partial(task_model, protocol.task)
    for _ in range(MOST_GROWTHS + 1):
        arms = {grid_name(m, rate): constant(m, rate) for m in rates for rate in rates[m]}
        grid = compare(build, data, arms, seeds=seeds, epochs=protocol.grid_epochs, directory=folder, **options)
        best = {m: _best(grid, m, rates[m]) for m in rates}
        grown = {m: _grown(sorted(rates[m]), best[m]) for m in rates}
        if grown == {m: sorted(rates[m]) for m in rates}:
            return best, grid
        rates = grown
    raise RuntimeError(
        f"The best constant rate of {protocol.task} is at an end of its grid still, after {MOST_GROWTHS} growths: "
        f"{', '.join(f'{best[m]:.2g} with momentum {m:g}' for m in best)}."
    )


def grid_name(momentum: float, rate: float) -> str:
    """The name of an arm of the grid."""
    return f"SGD {rate:.2g}, momentum {momentum:g}"


def lend(arms: Sequence[str], lender: Path, borrower: Path, seeds: int) -> None:
    """Copy the records of these arms, which are the same in both comparisons: they need not be made twice."""
    there, here = Store(lender), Store(borrower)
    for arm in arms:
        for seed in range(seeds):
            here.borrow(there, arm, seed)


def _best(grid: Comparison, momentum: float, rates: Sequence[float]) -> float:
    merit, rate = max((_merit(grid, grid_name(momentum, rate)), rate) for rate in rates)
    if not np.isfinite(merit):
        raise RuntimeError(
            f"With momentum {momentum:g} some run of every constant rate diverged, from {min(rates):.2g} to "
            f"{max(rates):.2g}: none can be chosen. Does the grid begin far too high?"
        )
    return rate


def _merit(grid: Comparison, arm: str) -> float:
    """The mean over seeds of the best of the metric, higher is better; never chosen where a run diverged."""
    values = np.array([run["best"] for run in grid.of(arm)], dtype=np.float64)
    merit = float(values.mean()) * (1 if grid.mode == "max" else -1)
    return merit if np.isfinite(merit) else -np.inf


def _grown(rates: list[float], best: float) -> list[float]:
    if best == rates[0]:
        return [best / HALF_DECADE, *rates]
    return [*rates, best * HALF_DECADE] if best == rates[-1] else rates
