"""Prints, for each task, the shortest time to the target at each batch size, and that of the advised size."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import mean

from onecycle.comparison.packed import documents

RUNS = Path(__file__).parent / "runs"


def main() -> None:
    """Print a table for each task."""
    for task in ("digits", "fashion-mnist"):
        records = documents(RUNS / task)
        advice = records.pop("advice.json")
        seconds = dict(zip(advice["batch_sizes"], advice["step_seconds"], strict=True))
        steps = defaultdict(list)
        for run in records.values():
            steps[run["batch_size"], run["learning_rate"]].append(run["steps"])
        best: dict[int, tuple[float, float, float]] = {}
        for (size, rate), found in steps.items():
            if None not in found:  # every seed reached the target
                best[size] = min(best.get(size, (float("inf"), 0, 0)), (mean(found) * seconds[size], mean(found), rate))
        print(f"\n{task}: {len(records)} runs; advised {advice['batch_size']}, noise scale {advice['noise_scale']:.3g}")
        print("| batch size | steps | seconds | learning rate |\n|---|---|---|---|")
        for size, (time, count, rate) in sorted(best.items()):
            print(f"| {size} | {count:.0f} | {time:.3f} | {rate:.3g} |")
        ratio = best[advice["batch_size"]][0] / min(time for time, *_ in best.values())
        print(f"\nThe advised size takes {ratio:.2f} times as long as the fastest of the grid.")


if __name__ == "__main__":
    main()
