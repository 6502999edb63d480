"""Make the missing runs of this study; see README.md.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python run.py WHAT [TASK ...] [--split tuning|judged] [--seeds 5] [--jobs 1]

WHAT is one of

    grid        full runs at all learning rates of the grid
    picks       the pickers of other projects, the other rules of the range test, and full runs at their picks
    ours        the rule `one_cycle`, the sweeps, and full runs at their picks
    variations  full runs with other numbers of epochs and other schedules
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import other_pickers
from split import JUDGED, TUNING, VARIED_TASKS
from tasks import DEFAULT_RATES, GRIDS, OPTIMIZERS, TASKS, Task, data_of

import onecycle
from onecycle.comparison.packed import documents
from onecycle.engine import Member, MemberRuns, train_members
from onecycle.finding.sweep import sweep_learning_rates
from onecycle.results import codec
from onecycle.suggestions import one_cycle

RUNS = Path(__file__).parent / "runs"
BUDGETS = (0.25, 0.5, 1.0)  # of our sweeps
VARIATION_RATES, VARIATION_SEEDS = 11, 3
HORIZONS = (0.125, 0.25, 0.5, 2.0)  # relative to the epochs of the task, in addition to 1
SCHEDULES: dict[str, Callable[[int, float], Any]] = {
    "one_cycle": lambda steps, peak: onecycle.OneCycle(peak, steps),
    "pytorch": lambda steps, peak: onecycle.OneCycle.pytorch(peak, steps),
    "fastai": lambda steps, peak: onecycle.OneCycle.fastai(peak, steps),
    "warmup_linear": lambda steps, peak: onecycle.WarmupLinearDecay(peak, steps),
    "warmup_stable": lambda steps, peak: onecycle.WarmupStableDecay(peak, steps),
    "constant": lambda steps, peak: onecycle.WarmupStableDecay(peak, steps, warmup_fraction=0.0, decay_fraction=0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("grid", "picks", "ours", "variations"))
    parser.add_argument("tasks", nargs="*", help="names of tasks (default: all)")
    parser.add_argument("--split", choices=("tuning", "judged"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="number of processes; tasks are dealt out round-robin")
    parser.add_argument("--epochs", type=int, help="number of epochs in place of those of the tasks, for a trial run")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the records")
    arguments = parser.parse_args()
    names = arguments.tasks or list({"tuning": TUNING, "judged": JUDGED, None: (*TUNING, *JUDGED)}[arguments.split])
    if arguments.what == "variations":
        names = [name for name in names if name in VARIED_TASKS]
    if arguments.jobs > 1:
        sys.exit(run_in_processes(arguments, names))
    for name in names:
        for optimizer in OPTIMIZERS:
            Study(name, optimizer, arguments.epochs or TASKS[name].epochs, arguments.runs).run(
                arguments.what, arguments.seeds
            )


def run_in_processes(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    """Run the tasks in several processes, each of which runs this script; return the largest exit status."""
    options = ["--seeds", str(arguments.seeds), "--runs", str(arguments.runs)]
    options += ["--epochs", str(arguments.epochs)] if arguments.epochs else []
    shares = [list(names[k :: arguments.jobs]) for k in range(arguments.jobs)]
    started = [
        subprocess.Popen([sys.executable, __file__, arguments.what, *share, *options]) for share in shares if share
    ]
    return max(process.wait() for process in started)


class Study:
    """The runs of one task with one optimizer. Existing records are kept."""

    def __init__(self, name: str, optimizer: str, epochs: int, runs: Path) -> None:
        self.task: Task = TASKS[name]
        self.name, self.optimizer, self.epochs = name, optimizer, epochs
        (self.x, self.y), self.held_out = data_of(name)
        self.steps = -(-len(self.x) // self.task.batch_size)
        self.folder = runs / name
        self.folder.mkdir(parents=True, exist_ok=True)
        # One model for all calls, so that its compiled programs are reused. Each run starts from its own state.
        self.model = self.task.build(optimizer, 0)

    def run(self, what: str, seeds: int) -> None:
        if what == "variations":
            self.run_variations()
            return
        for seed in range(seeds):
            self.record(f"{what}_{seed}", partial(getattr(self, what), seed))

    def record(self, what: str, make: Callable[[], dict[str, Any]]) -> None:
        path = self.folder / f"{self.optimizer}_{what}.json"
        if documents(self.folder, path.name):
            return
        began = time.time()
        facts = {"task": self.name, "optimizer": self.optimizer, "epochs": self.epochs, "steps": self.steps}
        facts |= make() | {"seconds": round(time.time() - began, 2)}
        facts |= {"backend": keras.backend.backend(), "keras": keras.__version__, "onecycle": onecycle.__version__}
        write(path, facts)
        print(path.name, self.name, facts["seconds"], "s", flush=True)

    def grid(self, seed: int) -> dict[str, Any]:
        """Return full runs at all learning rates of the grid."""
        return {"seed": seed, **self.train(GRIDS[self.optimizer], seed)}

    def picks(self, seed: int) -> dict[str, Any]:
        """Return the picks of the other pickers with their costs, and full runs there."""
        return self.with_runs(self.pick_with_others(seed), seed)

    def ours(self, seed: int) -> dict[str, Any]:
        """Return the picks of `one_cycle`, on the range test of the other rules, and of the sweeps, and full runs."""
        file = f"{self.optimizer}_range-test_{seed}.json"
        tested = codec.from_document(documents(self.folder, file)[file], file)
        suggestion = one_cycle(tested.learning_rates, tested.losses)
        cost = len(tested.learning_rates) / (self.steps * self.epochs)
        picks_of: dict[str, dict[str, Any]] = {
            "one_cycle": {"rate": suggestion.learning_rate, "cost": cost, "reason": suggestion.reason}
        }
        common = {"batch_size": self.task.batch_size, "seed": seed, "verbose": 0}
        for budget in BUDGETS:
            picks_of[f"sweep {budget:g}"] = self.pick_with_sweep(self.model_with_seed(seed), budget, seed, common)
        return self.with_runs(picks_of, seed)

    def with_runs(self, picks_of: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
        """Return the picks with a full run at each picked learning rate."""
        rates = [pick["rate"] for pick in picks_of.values() if pick["rate"] is not None]
        # Padded to one length, so that one compiled program serves all seeds.
        padded = rates + [rates[-1]] * (len(picks_of) - len(rates)) if rates else [0.0]
        runs = self.train(padded, seed)
        padded_lists = ("rates", "losses", "errors", "diverged")
        return {"seed": seed, "picks": picks_of, **runs, **{name: runs[name][: len(rates)] for name in padded_lists}}

    def pick_with_others(self, seed: int) -> dict[str, dict[str, Any]]:
        """Return the learning rate of every other picker, with its cost in full runs."""
        model, whole = self.model_with_seed(seed), self.steps * self.epochs
        common = {"batch_size": self.task.batch_size, "seed": seed, "verbose": 0}
        tested = onecycle.find_learning_rate(model, self.x, self.y, **common)
        tested.save(self.folder / f"{self.optimizer}_range-test_{seed}.json")
        picks_of = {"Keras default": {"rate": DEFAULT_RATES[self.optimizer], "cost": 0.0}}
        for rule, suggestion in tested.suggestions.items():
            if rule == "one_cycle":
                continue
            cost = len(tested.learning_rates) / whole
            picks_of[rule] = {"rate": suggestion.learning_rate, "cost": cost, "reason": suggestion.reason}
        ramps = {project: self.losses_of_ramp(rates, seed) for project, rates in other_pickers.RAMPS.items()}
        for rule, rate in other_pickers.picks(ramps).items():
            picks_of[rule] = {"rate": rate, "cost": other_pickers.STEPS / whole}
        return picks_of

    def model_with_seed(self, seed: int) -> keras.Model:
        """Return the shared model with the initial state of a seed."""
        for variable, fresh in zip(self.model.variables, self.task.build(self.optimizer, seed).variables, strict=True):
            variable.assign(fresh.value)
        return self.model

    def pick_with_sweep(self, model: keras.Model, budget: float, seed: int, common: dict[str, Any]) -> dict[str, Any]:
        try:
            sweep = sweep_learning_rates(model, self.x, self.y, epochs=self.epochs, budget=budget, **common)
        except ValueError as error:  # the run is too short for this budget
            return {"rate": None, "cost": 0.0, "reason": str(error)}
        sweep.save(self.folder / f"{self.optimizer}_sweep-{budget:g}_{seed}.json")
        return {"rate": sweep.pick.learning_rate, "cost": sweep.cost, "reason": sweep.pick.reason}

    def losses_of_ramp(self, rates: np.ndarray, seed: int) -> list[float]:
        """Return the losses of a ramp, NaN from the first step at which they are not finite."""
        epochs = -(-len(rates) // self.steps)
        runs = self.members([(Table(rates), None)], seed, epochs=epochs)
        return runs.losses[0, : len(rates)].tolist()

    def run_variations(self) -> None:
        """Make runs with other numbers of epochs and other schedules, at every second learning rate of the grid."""
        rates = GRIDS[self.optimizer][2::2][:VARIATION_RATES]
        cells = [("one_cycle", max(1, round(times * self.epochs))) for times in HORIZONS]
        cells += [(name, self.epochs) for name in SCHEDULES]
        for schedule, epochs in cells:
            for seed in range(VARIATION_SEEDS):
                self.record(f"{schedule}-{epochs}-epochs_{seed}", partial(self.cell, rates, seed, epochs, schedule))

    def cell(self, rates: Sequence[float], seed: int, epochs: int, schedule: str) -> dict[str, Any]:
        facts = {"seed": seed, "schedule": schedule, "run_epochs": epochs}
        return facts | self.train(rates, seed, epochs, schedule)

    def train(
        self, rates: Sequence[float], seed: int, epochs: int | None = None, schedule: str = "one_cycle"
    ) -> dict[str, Any]:
        """Return the final held-out losses and errors of full runs.

        Args:
            rates: Peaks.
            seed: Seed of all runs.
            epochs: Number of epochs, by default that of the task.
            schedule: Name of the schedule.
        """
        epochs = epochs or self.epochs
        curves = [SCHEDULES[schedule](epochs * self.steps, float(rate)) if rate else 0.0 for rate in rates]
        pairs = [(curve, curve.momentum() if hasattr(curve, "momentum") else None) for curve in curves]
        runs = self.members(pairs, seed, epochs=epochs)
        error = 1 - runs.validation["accuracy"][:, -1] if self.task.classes else runs.validation["mae"][:, -1]
        return {
            "rates": [float(rate) for rate in rates],
            "losses": plain(runs.validation["loss"][:, -1]),
            "errors": plain(error),
            "diverged": [step is not None for step in runs.diverged_at],
            "engine": runs.engine,
            "reason": runs.reason,
        }

    def members(self, pairs: Sequence[tuple[Any, Any]], seed: int, *, epochs: int) -> MemberRuns:
        start = self.task.build(self.optimizer, seed)
        return train_members(
            self.model, self.x, self.y, epochs=epochs, batch_size=self.task.batch_size,
            validation_data=self.held_out, members=[Member(*pair, seed=seed, start=start) for pair in pairs],
        )  # fmt: skip


class Table(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that reads its values from a table and keeps the last one."""

    def __init__(self, values: np.ndarray) -> None:
        self.table = values.astype("float32")

    def __call__(self, step: Any) -> Any:
        return keras.ops.take(self.table, keras.ops.minimum(step, len(self.table) - 1))


def plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def write(path: Path, facts: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")
    partial.replace(path)


if __name__ == "__main__":
    main()
