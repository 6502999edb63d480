"""Judge the pickers, each at its total cost; see README.md.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python judge.py [TASK ...] --split tuning|judging [--jobs 2] [--pickers NAME ...]

Each result is recorded in runs/TASK/judged_PICKER_SEED.json when it ends, and finished ones are kept. Only admitted
tasks are judged, after the constants are chosen and committed. `--smoke` tries each picker on one short task.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from admission import admitted
from grids import SEEDS, read_runs
from split import JUDGING, TUNING
from truth import RUNS, environment, write

from onecycle.comparison.packed import documents

SMOKE_TASK = "hastie-dense"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help="names of tasks (default: all admitted ones of the split)")
    parser.add_argument("--split", choices=("tuning", "judging"), default="tuning")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes, each with one task at a time")
    parser.add_argument("--pickers", nargs="+", help="names of pickers (default: all)")
    parser.add_argument("--smoke", action="store_true", help="one short run of each picker, recorded nowhere")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the records")
    arguments = parser.parse_args()
    if arguments.smoke:
        smoke(arguments.tasks or [SMOKE_TASK], arguments.pickers)
        return
    allowed = admitted(arguments.runs, TUNING if arguments.split == "tuning" else JUDGING)
    names = [name for name in allowed if not arguments.tasks or name in arguments.tasks]
    if arguments.jobs > 1:
        sys.exit(run_in_processes(names, arguments))
    for name in names:
        judge(name, arguments.runs, arguments.pickers)


def run_in_processes(names: list[str], arguments: argparse.Namespace) -> int:
    """Judge each task in a process of this script, a few at a time; return the largest exit status."""
    options = ["--split", arguments.split, "--runs", str(arguments.runs)]
    options += ["--pickers", *arguments.pickers] if arguments.pickers else []

    def run(name: str) -> int:
        return subprocess.run([sys.executable, __file__, name, *options], check=False).returncode

    with ThreadPoolExecutor(arguments.jobs) as pool:
        return max(pool.map(run, names), default=0)


def judge(name: str, runs: Path, wanted: list[str] | None) -> None:
    """Record the missing results of the pickers on a task."""
    from pickers import pickers_for
    from training import Runner

    runner = Runner(name)
    facts = runner.facts()
    truth = next(iter(read_runs(runs / name).values()))
    if any(truth[key] != value for key, value in facts.items()):
        raise ValueError(f"The truth of {name} has other data, another model or another length than the task has now.")
    for picker in wanted or pickers_for(runner.task.optimizer):
        for seed in SEEDS:
            path = runs / name / f"judged_{slug(picker)}_{seed}.json"
            if picker in pickers_for(runner.task.optimizer) and not documents(path.parent, path.name):
                write(path, facts | outcome(runner, picker, seed))
                print(path.name, name, flush=True)


def outcome(runner: Any, picker: str, seed: int) -> dict[str, Any]:
    """Return what a picker did, and the losses at the end of the training that it led to.

    Args:
        runner: The `Runner` of the task.
        picker: Name of the picker.
        seed: Seed of all random generators.
    """
    from pickers import WHOLE_RUN, Pick, pickers_for
    from tasks import DEFAULT_RATES

    began = time.process_time()
    try:
        pick = pickers_for(runner.task.optimizer)[picker](runner, seed)
    except ValueError as error:  # a sweep of a run that is too short, a race in which all diverge
        pick = Pick(None, 0.0, str(error))
    found = {"picker": picker, "seed": seed, "rate": pick.rate, "reason": pick.reason, "refused": False}
    if pick.weights is not None:
        found |= {"cost": pick.cost, **runner.evaluate(pick.weights)}
    else:
        # Who gets no suggestion trains with the default of the optimizer.
        rate = DEFAULT_RATES[runner.task.optimizer] if pick.rate is None else pick.rate
        run = runner.cycle(rate, seed)
        kept = ("selection_loss", "selection_error", "test_loss", "test_error", "diverged")
        found |= {"cost": pick.cost + WHOLE_RUN, "refused": pick.rate is None} | {key: run[key] for key in kept}
    return found | environment(round(time.process_time() - began, 2))


def slug(picker: str) -> str:
    """Return the name of a picker for a file."""
    return re.sub(r"[^a-z0-9]+", "-", picker.lower()).strip("-")


def smoke(names: list[str], wanted: list[str] | None) -> None:
    """Try pickers on a tenth of the epochs of tasks and print what each did."""
    from pickers import pickers_for
    from training import Runner

    for name in names:
        runner = Runner(name)
        runner.epochs = max(1, runner.epochs // 10)
        runner.steps = runner.epochs * runner.steps_per_epoch
        for picker in pickers_for(runner.task.optimizer):
            if not wanted or picker in wanted:
                found = outcome(runner, picker, 0)
                rate = "–" if found["rate"] is None else f"{found['rate']:.3g}"
                print(f"{name} {picker:22} rate {rate:8} cost {found['cost']:.2f} "
                      f"loss {found['test_loss']} {found['seconds']} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    # As in truth.py.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    main()
