"""Make the runs from which the constants of our pickers are chosen, on admitted tuning tasks only; see README.md.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python tuning_runs.py [TASK ...] [--seeds 2] [--jobs 2]

For each seed: two range tests, runs/TASK/range_test_STEPS_SEED.json, and whole cycles at nine multiples of what the
shorter one suggests, or else the longer one, runs/TASK/candidate_EXPONENT_SEED.json, with their scores on the way.
Finished runs are kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from admission import admitted
from grids import SEEDS
from split import TUNING
from truth import RUNS, environment, write

from onecycle.comparison.packed import documents

RANGE_TEST_STEPS = 100, 300  # of a race, and of `find_learning_rate`
EXPONENTS = (-4, -3, -2, -1, 0, 1, 2, 3, 4)  # of `RATIO`, on the multiples
RATIO = 2.5
CUTS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help="names of tasks (default: all admitted tuning tasks)")
    parser.add_argument("--seeds", type=int, default=2, help="the number of seeds, from 0")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes, each with one task at a time")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the records")
    arguments = parser.parse_args()
    names = [name for name in admitted(arguments.runs, TUNING) if not arguments.tasks or name in arguments.tasks]
    if arguments.jobs > 1:
        sys.exit(run_in_processes(names, arguments))
    for name in names:
        complete(name, arguments.runs, SEEDS[: arguments.seeds])


def run_in_processes(names: list[str], arguments: argparse.Namespace) -> int:
    """Run each task in a process of this script, a few at a time; return the largest exit status."""
    options = ["--seeds", str(arguments.seeds), "--runs", str(arguments.runs)]

    def run(name: str) -> int:
        return subprocess.run([sys.executable, __file__, name, *options], check=False).returncode

    with ThreadPoolExecutor(arguments.jobs) as pool:
        return max(pool.map(run, names), default=0)


def complete(name: str, runs: Path, seeds: tuple[int, ...]) -> None:
    """Make the missing runs of a task."""
    from training import Runner

    runner, folder = Runner(name), runs / name
    for seed in seeds:
        picks = []
        for steps in RANGE_TEST_STEPS:
            path = folder / f"range_test_{steps}_{seed}.json"
            if not documents(folder, path.name):
                write(path, range_test(runner, steps, seed))
            picks.append(documents(folder, path.name)[path.name]["picks"]["one_cycle"])
        missing = [k for k in EXPONENTS if not documents(folder, f"candidate_{k}_{seed}.json")]
        if missing:
            make_candidates(runner, next(filter(None, picks), None), missing, seed, folder)


def range_test(runner: Any, steps: int, seed: int) -> dict[str, Any]:
    """Return the record of a range test from the initial state of a seed."""
    from pickers import common, started
    from training import plain

    import onecycle

    test = onecycle.find_learning_rate(
        started(runner, seed), *runner.data.train, num_steps=steps, **common(runner, seed), plot=False
    )
    return {
        "task": runner.name, "seed": seed, "num_steps": steps,
        "picks": {rule: suggestion.learning_rate for rule, suggestion in test.suggestions.items()},
        "learning_rates": [plain(rate) for rate in test.learning_rates],
        "losses": [plain(loss) for loss in test.losses],
    }  # fmt: skip


def make_candidates(runner: Any, center: float | None, exponents: list[int], seed: int, folder: Path) -> None:
    """Train whole cycles at multiples of a learning rate, as a race trains its candidates, and record them.

    Args:
        runner: The `Runner` of the task.
        center: What a range test suggests; None for the default rate of the optimizer.
        exponents: The multiples, as exponents of `RATIO`.
        seed: Seed of the initial weights and of all random generators.
        folder: Folder of the records.
    """
    from tasks import DEFAULT_RATES
    from training import plain

    from onecycle.finding.fit_runs import set_seed
    from onecycle.finding.race_data import RaceData
    from onecycle.finding.race_request import RaceRequest
    from onecycle.finding.race_trainers import trainer_of
    from onecycle.finding.race_training import RaceTraining

    began, start = time.process_time(), DEFAULT_RATES[runner.task.optimizer] if center is None else center
    request = RaceRequest(epochs=runner.epochs, batch_size=runner.task.batch_size, seed=seed, verbose=0)
    data = RaceData(*runner.data.train, None, runner.data.selection, "")
    training = RaceTraining(runner.new_model(seed), request, data)
    set_seed(seed)
    steps = [round(cut * training.total_steps) for cut in CUTS]
    with training.fits(portable=False, progress=lambda member: None) as fits:
        members = {k: fits.new_member(start * RATIO**k) for k in exponents}
        rates = [member.learning_rate for member in members.values()]
        trainer = trainer_of(training, fits, None, lambda member: None, rates)
        for step in steps:
            alive = [member for member in members.values() if not member.diverged]
            # The key is not a cut of races, at which they judge an earlier average too.
            list(trainer.train(alive, step, step))
        for k, member in members.items():
            lost = dict.fromkeys(("selection_loss", "selection_error", "test_loss", "test_error"))
            if not member.diverged:
                trainer.finish(member)
                lost = runner.evaluate(fits.model.get_weights())
            record = {
                "task": runner.name, "seed": seed, "suggested": center, "exponent": k, "rate": member.learning_rate,
                "diverged": member.diverged, **lost,
                "scores": [plain(member.scores[step]) if step in member.scores else None for step in steps],
            }  # fmt: skip
            write(folder / f"candidate_{k}_{seed}.json", record | environment(round(time.process_time() - began, 2)))
    print(f"{runner.name}, seed {seed}, {trainer.engine}: {time.process_time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    # As in truth.py.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    main()
