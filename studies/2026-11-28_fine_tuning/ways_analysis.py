"""The tables of the third question: python ways_analysis.py > ways.md"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from ways import COMPARED, WAYS

from onecycle.comparison.packed import documents

RUNS = Path(__file__).parent / "runs"
RESAMPLES = 10_000
BASELINE = "fine_tune"
Values = dict[str, dict[str, dict[int, Any]]]  # task -> way -> seed -> record


def main() -> None:
    found = {task: by_way(task) for task in COMPARED}
    seeds = {task: complete_seeds(ways) for task, ways in found.items()}
    print("# fine_tune beside other ways\n")
    print("Held-out loss, and accuracy in percent: means over seeds.\n")
    print(row("task", "seeds", *WAYS))
    print(row(*["---"] * (len(WAYS) + 2)))
    for task, ways in found.items():
        cells = [cell(ways, way, seeds[task]) for way in WAYS]
        print(row(task, len(seeds[task]), *cells))
    print("\n## Loss relative to `fine_tune`\n")
    print(
        "The mean over seeds and tasks of the logarithm, with a 95 % bootstrap interval that draws tasks and seeds.\n"
    )
    print(row("way", "loss", "accuracy, points"))
    print(row("---", "---", "---"))
    for way in WAYS:
        losses = differences(found, seeds, way, "val_loss", math.log)
        points = differences(found, seeds, way, "val_accuracy", lambda value: 100 * value)
        low, mean, high = (100 * math.expm1(one) for one in interval(losses))
        below, middle, above = interval(points)
        print(row(way, f"{mean:+.1f} % ({low:+.1f} to {high:+.1f})", f"{middle:+.1f} ({below:+.1f} to {above:+.1f})"))


def by_way(task: str) -> dict[str, dict[int, Any]]:
    """Return way -> seed -> record."""
    found: dict[str, dict[int, Any]] = {way: {} for way in WAYS}
    for document in documents(RUNS / task / "ways", "*.json").values():
        record: Any = document
        found[record["way"]][record["seed"]] = record
    return found


def complete_seeds(ways: dict[str, dict[int, Any]]) -> list[int]:
    """Return the seeds that all ways have."""
    return sorted(set.intersection(*(set(of_seed) for of_seed in ways.values())))


def cell(ways: dict[str, dict[int, Any]], way: str, seeds: list[int]) -> str:
    if not seeds:
        return "–"
    losses, accuracies = ([ways[way][seed][name] for seed in seeds] for name in ("val_loss", "val_accuracy"))
    return f"{np.mean(losses):.3f}, {100 * np.mean(accuracies):.1f}"


def differences(found: Values, seeds: dict[str, list[int]], way: str, name: str, scale: Any) -> list[np.ndarray]:
    """Return the differences from `fine_tune` of each task, (seeds,)."""
    return [
        np.array([scale(ways[way][seed][name]) - scale(ways[BASELINE][seed][name]) for seed in seeds[task]])
        for task, ways in found.items()
        if seeds[task]
    ]


def interval(values: list[np.ndarray]) -> tuple[float, float, float]:
    """Return the lower end, the mean and the upper end."""
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        tasks = rng.integers(len(values), size=len(values))
        drawn.append(np.mean([rng.choice(values[task], len(values[task])).mean() for task in tasks]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(np.mean([one.mean() for one in values])), float(high)


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
