"""Prints, for each task, the shortest time to the target at each batch size, and that of each advised size."""

from __future__ import annotations

from collections import defaultdict
from statistics import mean, median

from run import RUNS, TASKS

from onecycle.comparison.packed import documents


def main() -> None:
    """Print two tables for each task."""
    for task in TASKS:
        records = documents(RUNS / task)
        advice = [record for record in records.values() if record["kind"] == "advice"]
        runs = [record for record in records.values() if record["kind"] == "run"]
        best = best_times(runs, step_seconds(advice))
        fastest = min(seconds for seconds, *_ in best.values())
        print(f"\n{task}: {len(runs)} runs\n\n| batch size | steps | seconds | relative | learning rate |")
        print("|---|---|---|---|---|")
        for size, (seconds, steps, rate) in sorted(best.items()):
            print(f"| {size} | {steps:.0f} | {seconds:.3f} | {seconds / fastest:.2f} | {rate:.3g} |")
        print("\n| seed | noise scale | 90 % interval | advised | relative time |\n|---|---|---|---|---|")
        for one in sorted(advice, key=lambda record: record["seed"]):
            low, high = one["interval"]
            size = one["batch_size"]
            ratio = "" if size is None else f"{best[size][0] / fastest:.2f}"
            print(
                f"| {one['seed']} | {one['noise_scale']:.0f} | {low:.0f} to {high:.0f} | {size or 'none'} | {ratio} |"
            )


def step_seconds(advice: list[dict]) -> dict[int, float]:
    """Return the seconds of a step with each batch size, the median over the measurements."""
    times = defaultdict(list)
    for one in advice:
        for size, seconds in zip(one["batch_sizes"], one["step_seconds"], strict=True):
            times[size].append(seconds)
    return {size: median(found) for size, found in times.items()}


def best_times(runs: list[dict], seconds: dict[int, float]) -> dict[int, tuple[float, float, float]]:
    """Return, for each batch size, the mean seconds and steps to the target at the best rate, and that rate.

    Only rates count at which every seed reached the target.
    """
    steps = defaultdict(list)
    for run in runs:
        steps[run["batch_size"], run["learning_rate"]].append(run["steps"])
    best: dict[int, tuple[float, float, float]] = {}
    for (size, rate), found in steps.items():
        if None not in found:
            this = (mean(found) * seconds[size], mean(found), rate)
            best[size] = min(best.get(size, this), this)
    return best


if __name__ == "__main__":
    main()
