"""Measure whether the memory of a process grows with the number of trainings in it: `python -m benchmarks.growth`.

Each subject runs in a separate process, on the backend of KERAS_BACKEND, and each range test and cycle on a new model.
The memory is read after each of them, and in a comparison before each run (see `benchmarks.memory`).
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.memory import own_memory

if TYPE_CHECKING:
    import keras

TIMES = {"range tests": 30, "cycles": 20, "fits": 20, "runs of a comparison": 500}
WARM = 3  # trainings until the memory counts as that of a warm process
MAX_GROWTH = 0.10
ROWS, WIDTH, CLASSES = 2000, 784, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=TIMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.subject:
        print(json.dumps(memories(arguments.subject, TIMES[arguments.subject])))
        return
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    rows = []
    for subject, times in TIMES.items():
        megabytes = in_own_process(subject)
        growth = megabytes[-1] / megabytes[WARM - 1] - 1
        rows.append({"subject": subject, "growth": growth, "holds": growth <= MAX_GROWTH, "megabytes": megabytes})
        print(
            f"{backend:<10} {times:3} {subject:<20} {megabytes[WARM - 1]:5.0f} to {megabytes[-1]:5.0f} MB {growth:+.1%}"
        )
    path = Path(__file__).parent / "results" / f"{datetime.date.today()}_growth_{backend}.json"
    path.write_text(json.dumps({"backend": backend, "warm_after": WARM, "rows": rows}, indent=1) + "\n")


def in_own_process(subject: str) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.growth", "--subject", subject]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: list[float] = json.loads(output.splitlines()[-1])
    return result


def memories(subject: str, times: int) -> list[float]:
    """Return the memory after each training, in MB."""
    import numpy as np

    random = np.random.default_rng(0)
    x, y = random.normal(size=(ROWS, WIDTH)).astype("float32"), random.integers(CLASSES, size=ROWS)
    found: list[float] = []

    def record() -> None:
        gc.collect()
        found.append(round(own_memory(), 1))

    if subject == "runs of a comparison":
        compared(x, y, times, record)
    else:
        for _ in range(times):
            train(subject, x, y)
            record()
    return found


def train(subject: str, x: Any, y: Any) -> None:
    """Train a new model once."""
    import onecycle

    model = built()
    if subject == "range tests":
        onecycle.find_learning_rate(model, x, y, verbose=0)
    elif subject == "cycles":
        onecycle.fit_one_cycle(model, x, y, epochs=2, max_learning_rate=0.1, verbose=0)
    else:
        model.fit(x, y, epochs=2, verbose=0)


def compared(x: Any, y: Any, times: int, record: Callable[[], None]) -> None:
    """Compare a constant rate and a cycle, with half as many seeds as runs."""
    import onecycle

    def build() -> keras.Model:
        record()
        return built()

    arms = {"constant": {}, "1cycle": {"max_learning_rate": 0.1}}
    onecycle.compare(build, ((x, y), (x, y)), arms, seeds=times // 2, epochs=1, verbose=0)


def built() -> keras.Model:
    """Return a new compiled model."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((WIDTH,)),
            keras.layers.Dense(300, "relu"),
            keras.layers.Dense(100, "relu"),
            keras.layers.Dense(CLASSES),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, metrics=["accuracy"])
    return model


if __name__ == "__main__":
    main()
