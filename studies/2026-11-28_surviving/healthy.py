"""Counts the rescues of a guard in healthy trainings: the tasks of two other studies, at the peak of a range test.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python healthy.py 2026-11-28_benchmark       # or 2026-11-23_picking_the_rate
python healthy.py --show

Each training is recorded in runs/healthy/picking_TASK_OPTIMIZER.json or benchmark_TASK_OPTIMIZER.json. If the guard did
anything, the training is repeated without it.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onecycle.comparison.packed import documents
from onecycle.results.codec import write_atomically

HERE = Path(__file__).parent
STUDIES = {"2026-11-23_picking_the_rate": "picking", "2026-11-28_benchmark": "benchmark"}
RUNS = HERE / "runs" / "healthy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", choices=STUDIES)
    parser.add_argument("--show", action="store_true", help="print what the records hold")
    arguments = parser.parse_args()
    if arguments.show:
        show()
        return
    sys.path.insert(0, str(HERE.parent / arguments.study))  # before this study, which has a module `tasks` too
    for name, optimizer in trainings():
        path = f"{STUDIES[arguments.study]}_{name}_{optimizer}.json"
        if not documents(RUNS, path):
            record = trained(name, optimizer)
            RUNS.mkdir(parents=True, exist_ok=True)
            write_atomically(RUNS / path, json.dumps(record))
            print(path, record, flush=True)


def trainings() -> Iterator[tuple[str, str]]:
    """Yield the tasks of a study with their optimizers."""
    import tasks

    for name, task in tasks.TASKS.items():
        for optimizer in [task.optimizer] if hasattr(task, "optimizer") else tasks.OPTIMIZERS:
            yield name, optimizer


def trained(name: str, optimizer: str) -> dict[str, Any]:
    """Train with a guard, and without one if it did anything; return the record."""
    import tasks

    import onecycle

    task, (train, held_out) = tasks.TASKS[name], tasks.data_of(name)[:2]

    def build() -> Any:
        return task.build(0) if hasattr(task, "optimizer") else task.build(optimizer, 0)

    def loss_with(*callbacks: Any) -> float:
        model = build()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = {"epochs": task.epochs, "batch_size": task.batch_size, "verbose": 0}
            model.fit(*train, **arguments, callbacks=[onecycle.OneCycleScheduler(peak), *callbacks])
        return float(model.evaluate(*held_out, verbose=0)[0])

    found = onecycle.find_learning_rate(build(), *train, batch_size=task.batch_size, num_steps=300, seed=0, verbose=0)
    peak = found.suggestion.learning_rate or tasks.DEFAULT_RATES[optimizer]
    guard = onecycle.DivergenceGuard()
    loss = loss_with(guard)
    rescues = [[one.step, one.reason, one.learning_rate_factor, one.lost_steps] for one in guard.rescues]
    return {
        "task": name, "optimizer": optimizer, "peak": peak, "loss": loss, "rescues": rescues,
        "loss_without_guard": loss_with() if rescues else loss,
    }  # fmt: skip


def show() -> None:
    """Print the number of trainings and each rescue."""
    found = list(documents(RUNS, "*.json").values())
    print(f"{len(found)} trainings, {sum(bool(one['rescues']) for one in found)} with a rescue")
    for one in found:
        if one["rescues"]:
            print(one)


if __name__ == "__main__":
    main()
