"""How the divisor of the blow-up depends on the number of steps: python steps.py, on the tuning tasks alone.

Makes range tests of 60 to 900 steps over the same seven decades, or what is missing of them, and fills steps.md.
KERAS_BACKEND=jax ONECYCLE_DATA=DIR
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
USUAL = 300  # of `find_learning_rate`
DIVISORS = (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0)
SEEDS = 5


def main() -> None:
    for name in TUNING:
        for optimizer in OPTIMIZERS:
            study = Study(name, optimizer, TASKS[name].epochs, RUNS)
            for seed in range(SEEDS):
                study.record(f"steps_{seed}", partial(blow_ups, study, seed))
    found = seen(RUNS)
    page = Path(__file__).parent / "steps.md"
    fill(page, "seen", shift_table(found))
    fill(page, "divisors", divisor_table(found, grids(RUNS, TUNING)))


def blow_ups(study: Study, seed: int) -> dict[str, Any]:
    """Where a range test of each length sees the loss shoot up, or None."""
    options = {"batch_size": study.task.batch_size, "seed": seed, "verbose": 0}
    tests = {
        steps: onecycle.find_learning_rate(study.begun(seed), study.x, study.y, num_steps=steps, **options)
        for steps in STEPS
    }
    return {"seed": seed, "seen_at": {steps: test.suggestions["blow_up"].seen_at for steps, test in tests.items()}}


def seen(folder: Path) -> dict[int, list[tuple[str, str, float | None, float | None]]]:
    """Steps -> for each test its task, its optimizer, its blow-up and that of the test with the usual number."""
    found = defaultdict(list)
    for name in TUNING:
        for optimizer in OPTIMIZERS:
            for record in read(folder / name, f"{optimizer}_steps_*.json"):
                for steps, seen_at in record["seen_at"].items():
                    found[int(steps)].append((name, optimizer, seen_at, record["seen_at"][str(USUAL)]))
    return dict(found)


def shift_table(found: dict[int, list[Any]]) -> str:
    lines = []
    for steps, tests in found.items():
        logs = [np.log(own / usual) for _, _, own, usual in tests if own and usual]
        lines.append((steps, f"{steps / 7:.0f}", len(logs), f"{np.exp(np.median(logs)):.2f}", f"{np.std(logs):.2f}"))
    rest = [(np.log(USUAL / steps), np.log(own / usual)) for steps, tests in found.items() for *_, own, usual in tests
            if own and usual]  # fmt: skip
    slope = np.polyfit(*zip(*rest, strict=True), 1)[0]
    head = ("steps", "a decade", "tests", f"blow-up over that of {USUAL} steps, median", "deviation of its logarithm")
    return table(head, lines) + f"\nThe blow-up falls with the number of steps to the power of {slope:.2f}.\n"


def divisor_table(found: dict[int, list[Any]], reference: dict[tuple[str, str], Grid]) -> str:
    """Mean (regrets over 100 % and tests that suggest nothing count as 100 %), median and catastrophes."""
    lines = []
    for divisor in DIVISORS:
        cells = []
        for tests in found.values():
            regrets = np.array([
                1.0 if own is None else reference[name, optimizer].expected_regret(own / divisor)
                for name, optimizer, own, _ in tests
            ])  # fmt: skip
            mean = np.minimum(regrets, 1.0).mean()
            cells.append(f"{percent(mean)} ({percent(np.median(regrets))}; {np.sum(regrets > CATASTROPHE)})")
        lines.append((f"{divisor:g}", *cells))
    return table(("divisor", *(f"{steps} steps" for steps in found)), lines)


if __name__ == "__main__":
    main()
