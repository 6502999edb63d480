"""`make bench`: what `OneCycleScheduler` and the range test cost per step, on the backend in KERAS_BACKEND."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

# One core, chosen before the backend counts them: two that are shared with others make A/A ratios of 0.9 to 1.1.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import keras  # noqa: E402

import onecycle  # noqa: E402
from benchmarks.lockstep import Train, in_lockstep  # noqa: E402
from benchmarks.measure import Seconds, compared  # noqa: E402
from benchmarks.subjects import BATCH, SUBJECTS, Subject, compiled, data  # noqa: E402

CYCLE_TARGET, FINDER_TARGET, FAST_FINDER_TARGET = 1.02, 1.05, 1.0
UNCOUNTED = 2  # epochs at either end: compiling, warming up, restoring
FAST_STEPS_PER_EXECUTION = 32  # what find_learning_rate chooses by itself on TensorFlow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=164)
    parser.add_argument("--only", help="name of one net")
    arguments = parser.parse_args()
    backend = keras.backend.backend()
    for subject in SUBJECTS:
        if arguments.only in (None, subject.name):
            write(subject, backend, measured(subject, backend, arguments.epochs))


def measured(subject: Subject, backend: str, epochs: int) -> dict[str, object]:
    """All ratios of one net."""
    x, y, steps = data(subject)

    def training(*callbacks: Callable[[], keras.callbacks.Callback], steps_per_execution: int = 1) -> Train:
        def train(turns: keras.callbacks.Callback) -> None:
            model = compiled(subject, steps_per_execution)
            own = [make() for make in callbacks]
            model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[*own, turns])

        return train

    def finder() -> onecycle.LearningRateFinder:
        # So low that nothing diverges, and as long as the fit.
        return onecycle.LearningRateFinder(1e-7, 1e-4, epochs * steps)

    trainings = {
        "bare fit": training(),
        "OneCycleScheduler": training(lambda: onecycle.OneCycleScheduler(1e-3)),
        "range test": training(finder),
        "bare fit again": training(),
    }
    targets = {"OneCycleScheduler": CYCLE_TARGET, "range test": FINDER_TARGET}
    if backend == "tensorflow":
        name = f"range test, steps_per_execution={FAST_STEPS_PER_EXECUTION}"
        trainings[name] = training(finder, steps_per_execution=FAST_STEPS_PER_EXECUTION)
        targets[name] = FAST_FINDER_TARGET
    taken = in_lockstep(trainings, epochs, steps)
    counted = {name: seconds[UNCOUNTED:-UNCOUNTED] for name, seconds in taken.items()}
    rows = [compared(counted, "bare fit", "bare fit again", target, name) for name, target in targets.items()]
    for row in rows:
        show(subject, backend, row)
    return {"rows": rows, "raw": {name: raw(seconds) for name, seconds in counted.items()}}


def raw(seconds: list[Seconds]) -> dict[str, list[float]]:
    """Microseconds per step of each epoch."""
    return {what: [round(1e6 * getattr(one, what), 2) for one in seconds] for what in ("cpu", "wall")}


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
        "cores": len(os.sched_getaffinity(0)),
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts | found, indent=1) + "\n")


main()
