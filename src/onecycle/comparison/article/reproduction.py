"""`reproduce`: repeats the article's experiments according to `protocol.py`, and evaluates them."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

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
from onecycle.comparison.article.savings import EpochSavings, epoch_savings
from onecycle.comparison.article.task_runs import held_out_split, task_model, task_split
from onecycle.comparison.comparing import compare
from onecycle.comparison.evaluation import comparison_from_records
from onecycle.comparison.measures import record_of
from onecycle.comparison.store import Store
from onecycle.results.comparison import Comparison, Verdict

# Our choice: three decades beyond the grid of the protocol. A best rate further out would have another cause.
MOST_EXTENSIONS = 6
MOMENTA = (0.0, 0.9)  # of the grid's SGD


class CompareOptions(TypedDict):
    """The arguments of `compare` that all comparisons of an experiment share.

    Attributes:
        metric: The metric to compare.
        jobs: Number of processes.
        verbose: As in `compare`.
    """

    metric: str
    jobs: int
    verbose: int | str


@dataclass(frozen=True)
class Reproduction:
    """One of the article's experiments, repeated.

    Attributes:
        protocol: The protocol.
        tuned: Momentum -> the constant rate chosen with the grid.
        grid: The runs of the grid. They use no test data, but a part of the training data that is held out.
        main: Baseline, tuned constants and cycles, on the test data.
        side: Baseline, Adam and other schedules, on the test data.
    """

    protocol: Protocol
    tuned: Mapping[float, float]
    grid: Comparison
    main: Comparison
    side: Comparison

    def savings(self) -> list[EpochSavings]:
        """Return the epochs that cycles save compared with the baseline and with each tuned constant."""
        cycles = tuple(arm for arm in self.main.arms if arm.startswith(CYCLE))
        return [epoch_savings(self.main, arm, cycles) for arm in self.main.arms if arm not in cycles]

    def cycle_verdicts(self) -> list[Verdict]:
        """Return the verdicts on the other arms of full length, each compared with the cycle."""
        return verdicts_against_cycle(self.main, self.side)

    def summary(self) -> str:
        """Return the result as text: the tables, the verdicts, and the epochs that cycles save."""
        rates = " and ".join(f"{rate:.2g} with momentum {momentum:g}" for momentum, rate in self.tuned.items())
        lines = [f"{self.protocol.task}: constant rates chosen on held-out training data: {rates}.", ""]
        lines += [self.main.table(), "", self.side.table(), ""]
        lines += [verdict.sentence for verdict in self.cycle_verdicts()]
        lines += ["", "Epochs that cycles save, an optimistic estimate: the shortest one is chosen after the runs."]
        return "\n".join([*lines, *(savings.summary() for savings in self.savings())])

    def facts(self) -> dict[str, object]:
        """Return the result as a dict that JSON can hold, without the runs, which are in the folder."""
        return {
            "task": self.protocol.task,
            "tuned": {f"momentum {momentum:g}": rate for momentum, rate in self.tuned.items()},
            "arms": [*self.main.rows(), *self.side.rows()[1:]],
            "against_cycle": [verdict.sentence for verdict in self.cycle_verdicts()],
            "savings": [savings.facts() for savings in self.savings()],
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
    """Repeat one of the article's experiments. Runs that have a record already are not repeated.

    The data is that of `onecycle.tasks`, read from the folder ONECYCLE_DATA or downloaded by Keras.

    Args:
        name: "boston-housing", "fashion-mnist" or "cifar10".
        directory: Folder for the records, one file per run, written when the run ends.
        seeds: Number of seeds, or None for that of the protocol.
        epochs: Number of epochs, or None for that of the protocol. Cycles that are not shorter are left out.
        jobs: Number of processes.
        verbose: As in `compare`.

    Returns:
        A `Reproduction`.

    Raises:
        ValueError: If the article has no experiment of this name.
        RuntimeError: If a run fails, or no constant rate of the grid can be chosen.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"Argument `name` must be one of {', '.join(PROTOCOLS)}. Received: name={name!r}")
    protocol = PROTOCOLS[name].shortened(seeds=seeds, epochs=epochs)
    folder = Path(directory) / name
    options = CompareOptions(metric=f"val_{protocol.metric}", jobs=jobs, verbose=verbose)
    tuned, grid = choose_rates(protocol, folder / "grid", options)
    make = functools.partial(
        compare, functools.partial(task_model, name), functools.partial(task_split, name),
        epochs=protocol.epochs, margin=protocol.margin, **options,
    )  # fmt: skip
    main = make(protocol.main_arms(tuned), seeds=protocol.seeds, directory=folder / "main")
    # The side arms have the same baseline, which need not be trained twice.
    copy_records((BASELINE,), folder / "main", folder / "side", protocol.side_seeds)
    side = make(protocol.side_arms(), seeds=protocol.side_seeds, directory=folder / "side")
    return Reproduction(protocol, tuned, grid, main, side)


def verdicts_against_cycle(main: Comparison, side: Comparison | None) -> list[Verdict]:
    """Return the verdicts on all other arms of full length, compared with the cycle by their metric at the end.

    The p values of main arms are adjusted for the number of main arms, and those of side arms, which may have fewer
    seeds, for the number of side arms.

    Args:
        main: The main arms.
        side: The side arms, or None.
    """
    comparisons = (main,) if side is None else (main, side)
    records = {(run["arm"], run["seed"]): record_of(run) for comparison in comparisons for run in comparison.runs}
    groups = [(tuple(arm for arm in main.arms if not arm.startswith(CYCLE)), main.seeds)]
    groups += [] if side is None else [(side.arms[1:], side.seeds)]
    verdicts: list[Verdict] = []
    for others, seeds in groups:
        arms = (CYCLE, *others)
        group = [records[arm, seed] for arm in arms for seed in seeds]
        comparison = comparison_from_records(
            group, arms, seeds, metric=main.metric, mode=main.mode, margin=main.margin
        )  # fmt: skip
        verdicts += [comparison.verdicts[arm]["final"] for arm in others]
    return verdicts


def choose_rates(protocol: Protocol, folder: Path, options: CompareOptions) -> tuple[dict[float, float], Comparison]:
    """Choose the best constant rate of SGD without and with momentum, on held-out training data.

    While the best rate of a grid is at one of its ends, the grid is extended there by half a decade.

    Args:
        protocol: The protocol.
        folder: Folder for the records of the grid.
        options: Further arguments of `compare`.

    Returns:
        Momentum -> rate, and the comparison of all rates.

    Raises:
        RuntimeError: If all rates diverge, or the best one is still at an end of the grid after several extensions.
    """
    rates = {momentum: sorted(protocol.grid) for momentum in MOMENTA}
    for _ in range(MOST_EXTENSIONS + 1):
        grid = _grid_comparison(protocol, rates, folder, options)
        best = {momentum: _best_rate(grid, momentum, rates[momentum]) for momentum in rates}
        extended = {momentum: _extended(rates[momentum], best[momentum]) for momentum in rates}
        if extended == rates:
            return best, grid
        rates = extended
    raise RuntimeError(
        f"The best constant rate of {protocol.task} is still at an end of its grid after {MOST_EXTENSIONS} extensions: "
        f"{', '.join(f'{rate:.2g} with momentum {momentum:g}' for momentum, rate in best.items())}."
    )


def grid_name(momentum: float, rate: float) -> str:
    """Return the name of an arm of the grid."""
    return f"SGD {rate:.2g}, momentum {momentum:g}"


def copy_records(arms: Sequence[str], source: Path, destination: Path, seeds: int) -> None:
    """Copy the records of arms that two comparisons have in common, so that they are trained only once.

    Args:
        arms: Names of the arms.
        source: Folder of the comparison that has the records.
        destination: Folder of the other comparison. Its existing records are kept.
        seeds: Number of seeds.
    """
    source_store, store = Store(source), Store(destination)
    for arm in arms:
        for seed in range(seeds):
            store.copy_from(source_store, arm, seed)


def _grid_comparison(
    protocol: Protocol, rates: Mapping[float, Sequence[float]], folder: Path, options: CompareOptions
) -> Comparison:
    arms = {grid_name(momentum, rate): constant(momentum, rate) for momentum in rates for rate in rates[momentum]}
    return compare(
        functools.partial(task_model, protocol.task),
        functools.partial(held_out_split, protocol.task, VALIDATION_SHARE),
        arms,
        seeds=range(FIRST_GRID_SEED, FIRST_GRID_SEED + protocol.grid_seeds),
        epochs=protocol.grid_epochs,
        directory=folder,
        **options,
    )


def _best_rate(grid: Comparison, momentum: float, rates: Sequence[float]) -> float:
    score, rate = max((_score(grid, grid_name(momentum, rate)), rate) for rate in rates)
    if not np.isfinite(score):
        raise RuntimeError(
            f"With momentum {momentum:g} some run of every constant rate from {min(rates):.2g} to {max(rates):.2g} "
            "diverged, so none can be chosen. Start the grid at a lower rate."
        )
    return rate


def _score(grid: Comparison, arm: str) -> float:
    """Return the mean over seeds of the best of the metric, higher is better; minus infinity if a run diverged."""
    # The best value of a run that diverged is NaN, and so is the mean.
    values = np.array([run["best"] for run in grid.of(arm)], dtype=np.float64)
    score = float(values.mean()) * (1 if grid.mode == "max" else -1)
    return score if np.isfinite(score) else -np.inf


def _extended(rates: list[float], best: float) -> list[float]:
    if best == rates[0]:
        return [best / HALF_DECADE, *rates]
    return [*rates, best * HALF_DECADE] if best == rates[-1] else rates
