"""How the best divisor of the blow-up depends on the number of steps, on the tuning tasks.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python steps.py

Makes the missing range tests of 60 to 900 steps over the same seven decades, and fills steps.md.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from records import CATASTROPHE, OPTIMIZERS, Grid, grids, read
from run import RUNS, Study
from split import TUNING
from tables import fill, percent, table
from tasks import TASKS

import onecycle

STEPS = (60, 100, 200, 300, 600, 900)
DEFAULT_STEPS = 300  # the default of `find_learning_rate`
DIVISORS = (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0)
SEEDS = 5


def main() -> None:
    for name in TUNING:
        for optimizer in OPTIMIZERS:
            study = Study(name, optimizer, TASKS[name].epochs, RUNS)
            for seed in range(SEEDS):
                study.record(f"steps_{seed}", partial(measure_blow_ups, study, seed))
    tests_of = blow_ups_by_length(RUNS)
    page = Path(__file__).parent / "steps.md"
    fill(page, "seen", shift_table(tests_of))
    fill(page, "divisors", divisor_table(tests_of, grids(RUNS, TUNING)))


def measure_blow_ups(study: Study, seed: int) -> dict[str, Any]:
    """Return the learning rate at which each range test sees the loss shoot up, or None."""
    options = {"batch_size": study.task.batch_size, "seed": seed, "verbose": 0}
    tests = {
        steps: onecycle.find_learning_rate(study.model_with_seed(seed), study.x, study.y, num_steps=steps, **options)
        for steps in STEPS
    }
    return {"seed": seed, "seen_at": {steps: test.suggestions["blow_up"].seen_at for steps, test in tests.items()}}


def blow_ups_by_length(folder: Path) -> dict[int, list[tuple[str, str, float | None, float | None]]]:
    """Return the tests for each number of steps: task, optimizer, blow-up, and blow-up with the default number."""
    tests_of = defaultdict(list)
    for name in TUNING:
        for optimizer in OPTIMIZERS:
            for record in read(folder / name, f"{optimizer}_steps_*.json"):
                for steps, seen_at in record["seen_at"].items():
                    tests_of[int(steps)].append((name, optimizer, seen_at, record["seen_at"][str(DEFAULT_STEPS)]))
    return dict(tests_of)


def shift_table(tests_of: dict[int, list[Any]]) -> str:
    """Return how the blow-up shifts with the number of steps, and the exponent of this relation."""
    lines = []
    for steps, tests in tests_of.items():
        logs = [np.log(blow_up / default) for _, _, blow_up, default in tests if blow_up and default]
        lines.append((steps, f"{steps / 7:.0f}", len(logs), f"{np.exp(np.median(logs)):.2f}", f"{np.std(logs):.2f}"))
    logs_of_ratios = [
        (np.log(DEFAULT_STEPS / steps), np.log(blow_up / default))
        for steps, tests in tests_of.items()
        for *_, blow_up, default in tests
        if blow_up and default
    ]
    slope = np.polyfit(*zip(*logs_of_ratios, strict=True), 1)[0]
    head = (
        "steps", "steps per decade", "tests", f"median blow-up / blow-up with {DEFAULT_STEPS} steps",
        "standard deviation of the logarithm",
    )  # fmt: skip
    return table(head, lines) + f"\nThe blow-up is proportional to the number of steps to the power of {-slope:.2f}.\n"


def divisor_table(tests_of: dict[int, list[Any]], reference: dict[tuple[str, str], Grid]) -> str:
    """Return mean, median and catastrophes by divisor; the mean counts larger regrets and missing picks as 100 %."""
    lines = []
    for divisor in DIVISORS:
        cells = []
        for tests in tests_of.values():
            regrets = np.array([
                1.0 if blow_up is None else reference[name, optimizer].expected_regret(blow_up / divisor)
                for name, optimizer, blow_up, _ in tests
            ])  # fmt: skip
            mean = np.minimum(regrets, 1.0).mean()
            cells.append(f"{percent(mean)} ({percent(np.median(regrets))}; {np.sum(regrets > CATASTROPHE)})")
        lines.append((f"{divisor:g}", *cells))
    return table(("divisor", *(f"{steps} steps" for steps in tests_of)), lines)


if __name__ == "__main__":
    main()
