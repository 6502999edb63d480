"""Make the missing runs of the truth; see README.md.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python truth.py [TASK ...] [--split tuning|judging] [--jobs 2] [--smoke]

Each run is recorded in runs/TASK/cycle_RATE_SEED.json when it ends, and finished runs are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grids
from split import JUDGING, TUNING

from onecycle.results.codec import write_atomically

RUNS = Path(__file__).parent / "runs"
SMOKE_PLACES = (-8, -4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help="names of tasks (default: all)")
    parser.add_argument("--split", choices=("tuning", "judging"))
    parser.add_argument("--jobs", type=int, default=1, help="number of processes, each with one task at a time")
    parser.add_argument("--limit", type=int, help="make at most so many runs of each task (default: all)")
    parser.add_argument("--smoke", action="store_true", help="two runs of two steps of each task, recorded nowhere")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the records")
    arguments = parser.parse_args()
    names = arguments.tasks or list({"tuning": TUNING, "judging": JUDGING, None: TUNING + JUDGING}[arguments.split])
    if arguments.jobs > 1:
        sys.exit(run_in_processes(names, arguments))
    for name in names:
        if arguments.smoke:
            smoke(name)
        else:
            complete(name, arguments.runs, arguments.limit)


def run_in_processes(names: Sequence[str], arguments: argparse.Namespace) -> int:
    """Run each task in a process of this script, a few at a time; return the largest exit status."""
    options = ["--runs", str(arguments.runs)] + (["--smoke"] if arguments.smoke else [])
    options += ["--limit", str(arguments.limit)] if arguments.limit else []

    def run(name: str) -> int:
        return subprocess.run([sys.executable, __file__, name, *options], check=False).returncode

    with ThreadPoolExecutor(arguments.jobs) as pool:
        return max(pool.map(run, names))


def complete(name: str, runs: Path, limit: int | None) -> None:
    """Make the runs of a task that have no record, until its grid is complete or there are `limit` new ones."""
    from training import Runner

    runner, folder = Runner(name), runs / name
    facts, made = runner.facts(), 0
    while limit is None or made < limit:
        records = grids.read_runs(folder)
        # Before anything is trained: records of other data or of another model must not be mixed with new ones.
        grids.common_facts({**records, "new": facts})
        losses = {key: grids.as_loss(record["selection_loss"]) for key, record in records.items()}
        missing = grids.missing_runs(losses, runner.task.optimizer)
        if not missing:
            return
        make(runner, *missing[0], folder, facts)
        made += 1


def make(runner: Any, place: int, seed: int, folder: Path, facts: dict[str, Any]) -> None:
    """Make a run of a task and record it.

    Args:
        runner: The `Runner` of the task.
        place: Place of its peak on the grid.
        seed: Its seed.
        folder: Folder of the records.
        facts: What all records of the task have in common.
    """
    began, rate = time.process_time(), grids.rate_of(place)
    record = facts | runner.cycle(rate, seed)
    record |= environment(round(time.process_time() - began, 2))
    write(folder / f"cycle_{rate:.3g}_{seed}.json", record)
    print(f"{runner.name} {rate:.3g}, seed {seed}: {record['selection_loss']}, {record['seconds']} s", flush=True)


def environment(seconds: float) -> dict[str, Any]:
    """Return the versions and the processor time of a record."""
    import keras

    import onecycle

    return {"seconds": seconds, "backend": keras.backend.backend(), "keras": keras.__version__,
            "onecycle": onecycle.__version__}  # fmt: skip


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def smoke(name: str) -> None:
    """Make two runs of two steps of a task, and read their records back."""
    from training import Runner

    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(name, smoke=True)
        facts = runner.facts()
        for place in SMOKE_PLACES:
            make(runner, place, 0, Path(folder) / name, facts)
        grids.common_facts(grids.read_runs(Path(folder) / name))


if __name__ == "__main__":
    # One thread a process, so that tasks run side by side; before keras is imported.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    main()
