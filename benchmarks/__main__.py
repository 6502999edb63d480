"""Measure the cost per step of the callbacks and the range test on the backend of KERAS_BACKEND: `make bench`."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

# Use one core, set before the backend counts the cores. On two shared cores the A/A ratio varied from 0.9 to 1.1.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import keras  # noqa: E402

import onecycle  # noqa: E402
from benchmarks.lockstep import Train, in_lockstep  # noqa: E402
from benchmarks.measure import Seconds, compare_times  # noqa: E402
from benchmarks.shortest_guard import ShortestGuard  # noqa: E402
from benchmarks.subjects import BATCH, EPOCHS, SUBJECTS, Subject, compiled, data  # noqa: E402

CYCLE_TARGET, FINDER_TARGET, FAST_FINDER_TARGET, GUARD_TARGET = 1.02, 1.05, 1.0, 1.01
SKIPPED_EPOCHS = 2  # at either end: compilation and warm-up, restoration
FAST_STEPS_PER_EXECUTION = 32  # the default of find_learning_rate on TensorFlow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, help="number of epochs (default: that of the net)")
    parser.add_argument("--only", help="name of the only net to measure")
    arguments = parser.parse_args()
    backend = keras.backend.backend()
    for subject in SUBJECTS:
        if arguments.only in (None, subject.name):
            epochs = arguments.epochs or subject.epochs.get(backend, EPOCHS)
            write_result(subject, backend, measure_net(subject, backend, epochs))


def measure_net(subject: Subject, backend: str, epochs: int) -> dict[str, object]:
    """Return all ratios and raw times of one net."""
    x, y, steps = data(subject)

    def training(*callbacks: Callable[[], keras.callbacks.Callback], steps_per_execution: int = 1) -> Train:
        def train(turns: keras.callbacks.Callback) -> None:
            model = compiled(subject, steps_per_execution)
            made = [make() for make in callbacks]
            model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[*made, turns])

        return train

    def finder() -> onecycle.LearningRateFinder:
        # The learning rates are too low for divergence, and the ramp is as long as the fit.
        return onecycle.LearningRateFinder(1e-7, 1e-4, epochs * steps)

    trainings = {
        "bare fit": training(),
        "OneCycleScheduler": training(lambda: onecycle.OneCycleScheduler(1e-3)),
        "DivergenceGuard": training(onecycle.DivergenceGuard),
        "range test": training(finder),
        "bare fit again": training(),
    }
    targets = {"OneCycleScheduler": CYCLE_TARGET, "DivergenceGuard": GUARD_TARGET, "range test": FINDER_TARGET}
    if backend == "jax":
        trainings["shortest guard"] = training(ShortestGuard)
        targets["shortest guard"] = GUARD_TARGET
    if backend == "tensorflow":
        name = f"range test, steps_per_execution={FAST_STEPS_PER_EXECUTION}"
        trainings[name] = training(finder, steps_per_execution=FAST_STEPS_PER_EXECUTION)
        targets[name] = FAST_FINDER_TARGET
    taken = in_lockstep(trainings, epochs, steps)
    counted = {name: seconds[SKIPPED_EPOCHS:-SKIPPED_EPOCHS] for name, seconds in taken.items()}
    rows = [compare_times(counted, "bare fit", "bare fit again", target, name) for name, target in targets.items()]
    for row in rows:
        print_row(subject, backend, row)
    return {"rows": rows, "raw": {name: raw(seconds) for name, seconds in counted.items()}}


def raw(seconds: list[Seconds]) -> dict[str, list[float]]:
    """Return the microseconds per step of each epoch."""
    return {what: [round(1e6 * getattr(one, what), 2) for one in seconds] for what in ("cpu", "wall")}


def print_row(subject: Subject, backend: str, row: dict) -> None:
    ratio, a_a = row["ratio"], row["a_a"]
    print(
        f"{backend:10} {subject.name:18} {row['subject']:36} {ratio['ratio']:.3f}"
        f" [{ratio['low']:.3f}, {ratio['high']:.3f}]"
        f"  A/A {a_a['ratio']:.3f} [{a_a['low']:.3f}, {a_a['high']:.3f}]  target {row['target']:.2f}"
        f"  {'holds' if row['holds'] else 'does not hold'}",
        flush=True,
    )


def write_result(subject: Subject, backend: str, result: dict[str, object]) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = Path(__file__).parent / "results" / f"{today}_step_{backend}_{subject.name}.json"
    facts = {
        "what": "CPU and wall time per step, without compilation; see benchmarks/README.md",
        "subject": subject.name,
        "backend": backend,
        "keras": keras.__version__,
        "onecycle": onecycle.__version__,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts | result, indent=1) + "\n")


main()
