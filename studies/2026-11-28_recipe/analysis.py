"""Writes the tables of this study into its README: python analysis.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import split, tables
from recipes import BASELINE, RECIPES, Recipe
from run import NOT_ADMITTED, RUNS, missing_place, slug

from onecycle.comparison.packed import documents

HERE = Path(__file__).parent
TASKS = tuple(name for name in split.TUNING if name != NOT_ADMITTED)
FACTORS = (-1, 0, 1)  # of the found peak, as powers of 2.5, one of which a recipe may choose
LIMIT = 10.0  # times the loss of guessing, which stands for a run that diverged
RESAMPLES = 10_000
Runs = dict[int, tuple[float, float]]  # place -> loss on the selection rows, loss on the test rows


def main() -> None:
    found = {task: runs_of(task) for task in TASKS}
    seeds = complete_seeds(found)
    if not seeds:
        raise SystemExit("No seed is complete on all tasks.")
    text = f"Seeds {', '.join(map(str, seeds))} are complete on all {len(TASKS)} tuning tasks.\n\n"
    text += recipes_table(found, seeds) + "\n" + optimizers_table(found, seeds) + "\n"
    text += momentum_table(found, seeds) + "\n" + factors_table(found, seeds) + "\n" + tasks_table(found, seeds)
    tables.fill(HERE / "README.md", "results", text)


def runs_of(task: str) -> dict[tuple[str, int], Runs]:
    """Return (recipe, seed) -> runs; only those whose search for the best peak has ended."""
    found: dict[tuple[str, int], Runs] = {}
    for recipe in RECIPES:
        for record in documents(RUNS / task, f"{slug(recipe)}_*.json").values():
            one: Any = record
            highest = [LIMIT * one["guessing"][part] for part in ("selection", "test")]
            losses = [one[f"{part}_loss"] for part in ("selection", "test")]
            loss, test = (
                limit if value is None or not math.isfinite(value) else min(value, limit)
                for value, limit in zip(losses, highest, strict=True)
            )
            found.setdefault((recipe.name, one["seed"]), {})[one["place"]] = (loss, test)
    return {key: runs for key, runs in found.items() if missing_place({p: one[0] for p, one in runs.items()}) is None}


def complete_seeds(found: dict[str, dict[tuple[str, int], Runs]]) -> list[int]:
    """Return the seeds that are complete for the baseline and at least one other recipe on all tasks."""
    seeds = {seed for runs in found.values() for _, seed in runs}
    return [seed for seed in sorted(seeds) if len(recipes_with(found, [seed])) > 1]


def recipes_with(found: dict[str, dict[tuple[str, int], Runs]], seeds: list[int]) -> list[Recipe]:
    """Return the recipes that have all seeds on all tasks."""
    return [one for one in RECIPES if all((one.name, seed) in runs for runs in found.values() for seed in seeds)]


def scores(found: dict[str, dict[tuple[str, int], Runs]], recipe: Recipe, seeds: list[int], of: str) -> np.ndarray:
    """Return log(loss / loss of the baseline at its best peak), `(tasks, seeds)`.

    Args:
        found: Task -> runs.
        recipe: The recipe.
        seeds: The seeds.
        of: "best peak", "high" or "low", or the power of 2.5 by which the found peak is multiplied.
    """
    rows = []
    for runs in found.values():
        references = [at(runs[BASELINE.name, seed], "best peak") for seed in seeds]
        rows.append(np.log([at(runs[recipe.name, seed], of) for seed in seeds]) - np.log(references))
    return np.array(rows)


def at(runs: Runs, of: str) -> float:
    """Return the test loss at a peak, or at the nearest one that was run."""
    best = min(runs, key=lambda place: runs[place][0])
    places = {"best peak": best, "high": best + 1, "low": best - 1}
    place = places[of] if of in places else int(of)
    return runs[min(runs, key=lambda one: abs(one - place))][1]


def best_factor(found: dict[str, dict[tuple[str, int], Runs]], recipe: Recipe, seeds: list[int]) -> int:
    """Return the power of 2.5 with which the found peak is best over all tasks."""
    return min(FACTORS, key=lambda factor: float(scores(found, recipe, seeds, str(factor)).mean()))


def recipes_table(found: dict[str, dict[tuple[str, int], Runs]], seeds: list[int]) -> str:
    """Return the four losses of each recipe relative to the baseline, with intervals of the paired differences."""
    lines = []
    base = scores(found, BASELINE, seeds, str(best_factor(found, BASELINE, seeds)))
    for recipe in recipes_with(found, seeds):
        factor = best_factor(found, recipe, seeds)
        at_found = scores(found, recipe, seeds, str(factor))
        cells = [with_interval(scores(found, recipe, seeds, "best peak")), f"{2.5**factor:g}", with_interval(at_found),
                 with_interval(at_found - base), with_interval(scores(found, recipe, seeds, "high")),
                 with_interval(scores(found, recipe, seeds, "low"))]  # fmt: skip
        lines.append((float(at_found.mean()), recipe.name, *cells))
    head = ("recipe", "best peak", "factor on the found peak", "found peak", "found peak, against article, cycled",
            "2.5 times too high", "2.5 times too low")  # fmt: skip
    return tables.table(head, [line[1:] for line in sorted(lines)])


def optimizers_table(found: dict[str, dict[tuple[str, int], Runs]], seeds: list[int]) -> str:
    """Return each recipe's loss at its best peak and 2.5 times above it, for SGD and for Adam and AdamW apart."""
    names: dict[bool, list[str]] = {True: [], False: []}
    for task in found:
        names[optimizer_of(task) == "sgd"].append(task)
    lines = []
    for recipe in recipes_with(found, seeds):
        groups = [{task: found[task] for task in names[is_sgd]} for is_sgd in (True, False)]
        lines.append([recipe.name, *(with_interval(scores(group, recipe, seeds, of))
                                     for of in ("best peak", "high") for group in groups)])  # fmt: skip
    kinds = f"SGD ({len(names[True])} tasks)", f"Adam, AdamW ({len(names[False])} tasks)"
    heads = (f"{what}, {kind}" for what in ("best peak", "2.5 times too high") for kind in kinds)
    return tables.table(("recipe", *heads), lines)


def optimizer_of(task: str) -> str:
    """Return the optimizer of a task, from its records."""
    record: Any = next(iter(documents(RUNS / task, f"{slug(BASELINE)}_*.json").values()))
    return str(record["optimizer"])


def factors_table(found: dict[str, dict[tuple[str, int], Runs]], seeds: list[int]) -> str:
    """Return the loss of each recipe at the found peak and at 2.5 times more and less than it."""
    lines = [
        [recipe.name, *(with_interval(scores(found, recipe, seeds, str(factor))) for factor in FACTORS)]
        for recipe in recipes_with(found, seeds)
    ]
    return tables.table(("recipe", *(f"{2.5**factor:g} times the found peak" for factor in FACTORS)), lines)


def momentum_table(found: dict[str, dict[tuple[str, int], Runs]], seeds: list[int]) -> str:
    """Return what a constant momentum changes, for each schedule, against a cycled one."""
    names = {one.name: one for one in recipes_with(found, seeds)}
    lines = []
    for recipe in names.values():
        other = names.get(Recipe(recipe.schedule, cycled=False).name)
        if recipe.cycled and other is not None:
            factors = [str(best_factor(found, one, seeds)) for one in (other, recipe)]
            at_best = scores(found, other, seeds, "best peak") - scores(found, recipe, seeds, "best peak")
            at_found = scores(found, other, seeds, factors[0]) - scores(found, recipe, seeds, factors[1])
            lines.append((recipe.schedule, with_interval(at_best), with_interval(at_found)))
    return tables.table(("constant against cycled momentum", "best peak", "found peak"), lines)


def tasks_table(found: dict[str, dict[tuple[str, int], Runs]], seeds: list[int]) -> str:
    """Return each recipe's loss at the best and at the found peak on each task."""
    recipes = recipes_with(found, seeds)
    columns = {}
    for recipe in recipes:
        at_found = scores(found, recipe, seeds, str(best_factor(found, recipe, seeds)))
        columns[recipe.name] = (scores(found, recipe, seeds, "best peak").mean(axis=1), at_found.mean(axis=1))
    lines = [
        (task, *(f"{percent(columns[one.name][0][k])} / {percent(columns[one.name][1][k])}" for one in recipes))
        for k, task in enumerate(found)
    ]
    return tables.table(("task: best peak / found peak", *(one.name for one in recipes)), lines)


def with_interval(values: np.ndarray) -> str:
    """Return the mean over `(tasks, seeds)` with a 95 % bootstrap interval that draws tasks, and seeds in each."""
    rng = np.random.default_rng(0)
    tasks = rng.integers(len(values), size=(RESAMPLES, len(values), 1))
    drawn = values[tasks, rng.integers(values.shape[1], size=(RESAMPLES, *values.shape))].mean(axis=(1, 2))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{percent(values.mean())} ({percent(low)} to {percent(high)})"


def percent(logarithm: float) -> str:
    return f"{100 * math.expm1(logarithm):+.1f} %"


if __name__ == "__main__":
    main()
