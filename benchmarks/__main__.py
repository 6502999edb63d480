"""`make bench`: what `OneCycleScheduler` and the range test cost per step, on the backend in KERAS_BACKEND."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

import keras

import onecycle
from benchmarks.measure import compared, in_turns
from benchmarks.subjects import EPOCHS, SUBJECTS, Subject, compiled, data, timed_fit

CYCLE_TARGET, FINDER_TARGET, FAST_FINDER_TARGET = 1.02, 1.05, 1.0
FAST_STEPS_PER_EXECUTION = 32  # what find_learning_rate chooses by itself on TensorFlow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", help="name of one net")
    arguments = parser.parse_args()
    backend = keras.backend.backend()
    for subject in SUBJECTS:
        if arguments.only in (None, subject.name):
            write(subject, backend, measured(subject, backend, arguments.rounds))


def measured(subject: Subject, backend: str, rounds: int) -> dict[str, object]:
    """All ratios of one net."""
    x, y, steps = data(subject)
    bare, cycled, ramped = compiled(subject), compiled(subject), compiled(subject)

    def finder() -> onecycle.LearningRateFinder:
        # So low that nothing diverges, and as long as the fit.
        return onecycle.LearningRateFinder(1e-7, 1e-4, EPOCHS * steps)

    runs = {
        "bare fit": lambda: timed_fit(bare, x, y, steps),
        "OneCycleScheduler": lambda: timed_fit(cycled, x, y, steps, onecycle.OneCycleScheduler(1e-3)),
        "range test": lambda: timed_fit(ramped, x, y, steps, finder()),
        "bare fit again": lambda: timed_fit(bare, x, y, steps),
    }
    targets = {"OneCycleScheduler": CYCLE_TARGET, "range test": FINDER_TARGET}
    if backend == "tensorflow":
        fast = compiled(subject, FAST_STEPS_PER_EXECUTION)
        name = f"range test, steps_per_execution={FAST_STEPS_PER_EXECUTION}"
        runs[name] = lambda: timed_fit(fast, x, y, steps, finder())
        targets[name] = FAST_FINDER_TARGET
    taken = in_turns(runs, rounds)
    rows = [compared(taken, "bare fit", "bare fit again", target, name) for name, target in targets.items()]
    for row in rows:
        show(subject, backend, row)
    return {"rows": rows, "raw": {name: [asdict(s) for s in seconds] for name, seconds in taken.items()}}


def show(subject: Subject, backend: str, row: dict) -> None:
    ratio, a_a = row["ratio"], row["a_a"]
    print(
        f"{backend:10} {subject.name:18} {row['subject']:36} {ratio['ratio']:.3f}"
        f" [{ratio['low']:.3f}, {ratio['high']:.3f}]"
        f"  A/A {a_a['ratio']:.3f} [{a_a['low']:.3f}, {a_a['high']:.3f}]  target {row['target']:.2f}"
        f"  {'holds' if row['holds'] else 'does not hold'}",
        flush=True,
    )


def write(subject: Subject, backend: str, found: dict[str, object]) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = Path(__file__).parent / "results" / f"{today}_step_{backend}_{subject.name}.json"
    facts = {
        "what": "seconds per step, CPU and wall, compile time left out; see benchmarks/README.md",
        "subject": subject.name,
        "backend": backend,
        "keras": keras.__version__,
        "onecycle": onecycle.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts | found, indent=1) + "\n")


main()
