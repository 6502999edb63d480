"""Makes the runs of this study, or what is missing of them; see README.md.

KERAS_BACKEND=jax ONECYCLE_DATA=DIR python run.py WHAT [TASK ...] [--split tuning|judged] [--seeds 5] [--jobs 1]

WHAT: grid (full runs at all rates), picks (the pickers of others and the article's rules, and a full run at each pick),
ours (the rule `one_cycle` and the sweeps, and full runs there), further (horizon and schedule).
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
import rivals
from split import FURTHER, JUDGED, TUNING
from tasks import DEFAULT_RATES, GRIDS, OPTIMIZERS, TASKS, Task, data_of

import onecycle
from onecycle.comparison.packed import documents
from onecycle.engine import Member, MemberRuns, train_members
from onecycle.finding.sweep import sweep_learning_rates
from onecycle.results import codec
from onecycle.suggestions import one_cycle

RUNS = Path(__file__).parent / "runs"
BUDGETS = (0.25, 0.5, 1.0)  # of ours
FURTHER_RATES, FURTHER_SEEDS = 11, 3
HORIZONS = (0.125, 0.25, 0.5, 2.0)  # times the task's epochs, beside 1
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
    parser.add_argument("what", choices=("grid", "picks", "ours", "further"))
    parser.add_argument("tasks", nargs="*", help="names; all where none is given")
    parser.add_argument("--split", choices=("tuning", "judged"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with every so manieth task")
    parser.add_argument("--epochs", type=int, help="in place of the tasks' own, to try the study out")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the records")
    arguments = parser.parse_args()
    names = arguments.tasks or list({"tuning": TUNING, "judged": JUDGED, None: (*TUNING, *JUDGED)}[arguments.split])
    if arguments.what == "further":
        names = [name for name in names if name in FURTHER]
    if arguments.jobs > 1:
        sys.exit(spread(arguments, names))
    for name in names:
        for optimizer in OPTIMIZERS:
            Study(name, optimizer, arguments.epochs or TASKS[name].epochs, arguments.runs).run(
                arguments.what, arguments.seeds
            )


def spread(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    """Share the tasks out among processes, each a call of this very script."""
    options = ["--seeds", str(arguments.seeds), "--runs", str(arguments.runs)]
    options += ["--epochs", str(arguments.epochs)] if arguments.epochs else []
    shares = [list(names[k :: arguments.jobs]) for k in range(arguments.jobs)]
    started = [
        subprocess.Popen([sys.executable, __file__, arguments.what, *share, *options]) for share in shares if share
    ]
    return max(process.wait() for process in started)


class Study:
    """The runs of one task with one optimizer; records that are there are not made again."""

    def __init__(self, name: str, optimizer: str, epochs: int, runs: Path) -> None:
        self.task: Task = TASKS[name]
        self.name, self.optimizer, self.epochs = name, optimizer, epochs
        (self.x, self.y), self.held_out = data_of(name)
        self.steps = -(-len(self.x) // self.task.batch_size)
        self.folder = runs / name
        self.folder.mkdir(parents=True, exist_ok=True)
        # One model for all calls, whose compiled programs are used again; what a run begins as is another's state.
        self.model = self.task.build(optimizer, 0)

    def run(self, what: str, seeds: int) -> None:
        if what == "further":
            self.further()
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
        """Full runs at every rate of the grid."""
        return {"seed": seed, **self.trained(GRIDS[self.optimizer], seed)}

    def picks(self, seed: int) -> dict[str, Any]:
        """What each picker that is not ours says and costs, and full runs there."""
        return self.with_runs(self.asked(seed), seed)

    def ours(self, seed: int) -> dict[str, Any]:
        """The same of the rule `one_cycle`, on the range test that the other rules read, and of the sweeps."""
        file = f"{self.optimizer}_range-test_{seed}.json"
        tested = codec.from_document(documents(self.folder, file)[file], file)
        said, whole = one_cycle(tested.learning_rates, tested.losses), self.steps * self.epochs
        cost = len(tested.learning_rates) / whole
        found: dict[str, dict[str, Any]] = {
            "one_cycle": {"rate": said.learning_rate, "cost": cost, "reason": said.reason}
        }
        common = {"batch_size": self.task.batch_size, "seed": seed, "verbose": 0}
        for budget in BUDGETS:
            found[f"sweep {budget:g}"] = self.swept(self.begun(seed), budget, seed, common)
        return self.with_runs(found, seed)

    def with_runs(self, found: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
        """The picks with a full run at each rate."""
        rates = [own["rate"] for own in found.values() if own["rate"] is not None]
        # Padded to one length, so that one compiled program serves all seeds.
        padded = rates + [rates[-1]] * (len(found) - len(rates)) if rates else [0.0]
        done = self.trained(padded, seed)
        kept = ("rates", "losses", "errors", "diverged")
        return {"seed": seed, "picks": found, **done, **{name: done[name][: len(rates)] for name in kept}}

    def asked(self, seed: int) -> dict[str, dict[str, Any]]:
        """The rate of every picker that is not ours, with what it cost in full runs."""
        model, whole = self.begun(seed), self.steps * self.epochs
        common = {"batch_size": self.task.batch_size, "seed": seed, "verbose": 0}
        tested = onecycle.find_learning_rate(model, self.x, self.y, **common)
        tested.save(self.folder / f"{self.optimizer}_range-test_{seed}.json")
        found = {"Keras default": {"rate": DEFAULT_RATES[self.optimizer], "cost": 0.0}}
        for rule, suggestion in tested.suggestions.items():
            if rule == "one_cycle":
                continue
            cost = len(tested.learning_rates) / whole
            found[rule] = {"rate": suggestion.learning_rate, "cost": cost, "reason": suggestion.reason}
        ramps = {project: self.ramped(rates, seed) for project, rates in rivals.RAMPS.items()}
        for rule, rate in rivals.picks(ramps).items():
            found[rule] = {"rate": rate, "cost": rivals.STEPS / whole}
        return found

    def begun(self, seed: int) -> keras.Model:
        """The one model, in the state in which a fresh one of this seed begins."""
        for own, fresh in zip(self.model.variables, self.task.build(self.optimizer, seed).variables, strict=True):
            own.assign(fresh.value)
        return self.model

    def swept(self, model: keras.Model, budget: float, seed: int, common: dict[str, Any]) -> dict[str, Any]:
        try:
            sweep = sweep_learning_rates(model, self.x, self.y, epochs=self.epochs, budget=budget, **common)
        except ValueError as error:  # the run is too short for such a budget
            return {"rate": None, "cost": 0.0, "reason": str(error)}
        sweep.save(self.folder / f"{self.optimizer}_sweep-{budget:g}_{seed}.json")
        return {"rate": sweep.pick.learning_rate, "cost": sweep.cost, "reason": sweep.pick.reason}

    def ramped(self, rates: np.ndarray, seed: int) -> list[float]:
        """The losses of a ramp, NaN from the step on at which they are no more finite."""
        epochs = -(-len(rates) // self.steps)
        done = self.members([(Table(rates), None)], seed, epochs=epochs)
        return done.losses[0, : len(rates)].tolist()

    def further(self) -> None:
        """Other horizons with the article's cycle, other schedules with the task's epochs, at every second rate."""
        rates = GRIDS[self.optimizer][2::2][:FURTHER_RATES]
        cells = [("one_cycle", max(1, round(times * self.epochs))) for times in HORIZONS]
        cells += [(name, self.epochs) for name in SCHEDULES]
        for schedule, epochs in cells:
            for seed in range(FURTHER_SEEDS):
                self.record(f"{schedule}-{epochs}-epochs_{seed}", partial(self.cell, rates, seed, epochs, schedule))

    def cell(self, rates: Sequence[float], seed: int, epochs: int, schedule: str) -> dict[str, Any]:
        own = {"seed": seed, "schedule": schedule, "run_epochs": epochs}
        return own | self.trained(rates, seed, epochs, schedule)

    def trained(
        self, rates: Sequence[float], seed: int, epochs: int | None = None, schedule: str = "one_cycle"
    ) -> dict[str, Any]:
        """Full runs at these peaks: held-out loss and error at their ends."""
        epochs = epochs or self.epochs
        curves = [SCHEDULES[schedule](epochs * self.steps, float(rate)) if rate else 0.0 for rate in rates]
        pairs = [(curve, curve.momentum() if hasattr(curve, "momentum") else None) for curve in curves]
        done = self.members(pairs, seed, epochs=epochs)
        error = 1 - done.validation["accuracy"][:, -1] if self.task.classes else done.validation["mae"][:, -1]
        return {
            "rates": [float(rate) for rate in rates],
            "losses": plain(done.validation["loss"][:, -1]),
            "errors": plain(error),
            "diverged": [step is not None for step in done.diverged_at],
            "engine": done.engine,
            "reason": done.reason,
        }

    def members(self, pairs: Sequence[tuple[Any, Any]], seed: int, *, epochs: int) -> MemberRuns:
        start = self.task.build(self.optimizer, seed)
        return train_members(
            self.model, self.x, self.y, epochs=epochs, batch_size=self.task.batch_size,
            validation_data=self.held_out, members=[Member(*pair, seed=seed, start=start) for pair in pairs],
        )  # fmt: skip


class Table(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule read from a table, whose last value is held."""

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
