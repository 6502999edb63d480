"""Run each task once with `fit_one_cycle` and once with plain SGD; existing records are skipped.

ONECYCLE_DATA=DIR KERAS_BACKEND=tensorflow python studies/2026-11-23_first_runs/run.py [--seeds 3] [TASK ...]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras

import onecycle
from onecycle.comparison.packed import documents
from onecycle.tasks import load_task

EPOCHS = {"boston-housing": 100, "fashion-mnist": 3, "cifar10": 3}
ARMS = ("1cycle", "plain SGD 0.01")
RUNS = Path(__file__).parent / "runs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=list(EPOCHS))
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    for seed in range(arguments.seeds):
        for task in arguments.tasks:
            for arm in ARMS:
                run_and_record(task, arm, seed)


def run_and_record(task: str, arm: str, seed: int) -> None:
    path = RUNS / task / f"{arm.replace(' ', '-')}_{keras.backend.backend()}_{seed}.json"
    if documents(path.parent, path.name):
        return
    started = time.time()
    facts = train(task, arm, seed)
    facts |= {
        "task": task,
        "arm": arm,
        "seed": seed,
        "epochs": EPOCHS[task],
        "seconds": round(time.time() - started, 1),
    }
    facts |= {"backend": keras.backend.backend(), "keras": keras.__version__, "onecycle": onecycle.__version__}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(facts, indent=1) + "\n")
    partial.replace(path)
    print(path.name, {name: round(values[-1], 4) for name, values in facts["history"].items()}, flush=True)


def train(name: str, arm: str, seed: int) -> dict[str, object]:
    task = load_task(name)
    (x, y), validation = task.data
    common = {"epochs": EPOCHS[name], "batch_size": task.batch_size, "validation_data": validation, "verbose": 0}
    if arm == "1cycle":
        history = onecycle.fit_one_cycle(task.build(seed), x, y, seed=seed, **common)
        report = history.onecycle
        picked = {"max_learning_rate": report.max_learning_rate, "reason": report.range_test.suggestion.reason}
        return {"picked": picked, "history": plain(history)}
    history = task.build(seed, keras.optimizers.SGD(0.01)).fit(x, y, **common)
    return {"picked": None, "history": plain(history)}


def plain(history: keras.callbacks.History) -> dict[str, list[float]]:
    return {name: [float(value) for value in values] for name, values in history.history.items()}


main()
