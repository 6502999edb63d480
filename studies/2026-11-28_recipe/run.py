"""Make the missing runs; see README.md.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python run.py [TASK ...] [--jobs 2] [--seeds 1] [--recipes NAME ...]

Each run is recorded in runs/TASK/RECIPE_PLACE_SEED.json when it ends, and finished runs are kept.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmark import split, truth
from recipes import RECIPES, Recipe

from onecycle.comparison.packed import documents

RUNS = Path(__file__).parent / "runs"
FACTOR = 2.5  # between neighboring peaks
REACH = 6  # factors from the found peak
NOT_ADMITTED = "snippets-attention"
# The cheapest tasks come first.
SLOW = ("license-gru", "packages-gru", "fashion-patches-sgd", "cifar-conv-long", "cifar-patches", "library-attention")
TASKS = (*(name for name in split.TUNING if name not in (*SLOW, NOT_ADMITTED)), *SLOW)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help="names of tasks (default: the tuning tasks)")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes, each with one task at a time")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, from 0 on")
    parser.add_argument("--recipes", nargs="+", default=[recipe.name for recipe in RECIPES], help="names of recipes")
    arguments = parser.parse_args()
    names = arguments.tasks or TASKS
    if arguments.jobs > 1:
        options = ["--seeds", str(arguments.seeds), "--recipes", *arguments.recipes]

        def run(name: str) -> int:
            return subprocess.run([sys.executable, __file__, name, *options], check=False).returncode

        with ThreadPoolExecutor(arguments.jobs) as pool:
            sys.exit(max(pool.map(run, names)))
    for name in names:
        complete(name, range(arguments.seeds), [recipe for recipe in RECIPES if recipe.name in arguments.recipes])


def complete(task: str, seeds: range, recipes: list[Recipe]) -> None:
    """Make the runs of a task that have no record."""
    from training import Runner

    runner = Runner(task)
    folder = RUNS / task
    for seed in seeds:
        found = found_peak(runner, folder, seed)
        for recipe in recipes:
            while (place := missing_place(losses_by_place(folder, recipe, seed))) is not None:
                began = time.process_time()
                record = runner.facts() | trained(runner, recipe, found * FACTOR**place, seed) | {"place": place}
                record |= truth.environment(round(time.process_time() - began, 2))
                truth.write(folder / f"{slug(recipe)}_{place}_{seed}.json", record)
                print(f"{task} {recipe.name} {place}, seed {seed}: {record['selection_loss']}", flush=True)


def found_peak(runner: Any, folder: Path, seed: int) -> float:
    """Return the peak that the range test finds, or the default rate of the optimizer, from its record or anew."""
    from pickers import suggested
    from tasks import DEFAULT_RATES

    name = f"found_{seed}.json"
    if not documents(folder, name):
        pick = suggested("one_cycle", runner, seed)
        truth.write(folder / name, {"seed": seed, "rate": pick.rate, "reason": pick.reason})
    rate = documents(folder, name)[name]["rate"]  # type: ignore[index]
    return float(DEFAULT_RATES[runner.task.optimizer] if rate is None else rate)


def trained(runner: Any, recipe: Recipe, peak: float, seed: int) -> dict[str, Any]:
    """Train with a recipe and a peak and return the record."""
    from training import Table, curve_of

    from onecycle.engine import Member

    momentum = recipe.momentum(peak, runner.steps)
    member = Member(
        recipe.rate(peak, runner.steps), None if momentum is None else Table(momentum), seed=seed,
        start=runner.task.build(seed),
    )  # fmt: skip
    runs = runner.train([member])
    return {
        "recipe": recipe.name, "rate": peak, "seed": seed, "diverged": bool(runs.diverged[0]),
        **runner.evaluate(runs.weights[0]), **curve_of(runs.losses[0], runner.steps_per_epoch),
    }  # fmt: skip


def missing_place(losses: dict[int, float]) -> int | None:
    """Return the next peak, as a power of `FACTOR`: the found one and its neighbors, then until the best is inside."""
    for place in (0, -1, 1):
        if place not in losses:
            return place
    best = min(losses, key=lambda place: losses[place])
    for place in (best - 1, best + 1):
        if place not in losses and abs(place) <= REACH:
            return place
    return None


def losses_by_place(folder: Path, recipe: Recipe, seed: int) -> dict[int, float]:
    """Return the selection losses of the finished runs of a recipe and a seed."""
    records: list[Any] = list(documents(folder, f"{slug(recipe)}_*_{seed}.json").values())
    values = {record["place"]: record["selection_loss"] for record in records}
    return {place: math.inf if value is None else value for place, value in values.items()}


def slug(recipe: Recipe) -> str:
    """Return the name of a recipe for a file."""
    return re.sub(r"[^a-z0-9]+", "-", recipe.name)


if __name__ == "__main__":
    # One thread a process, so that tasks run side by side; before keras is imported.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    main()
