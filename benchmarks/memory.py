"""Measure the memory that training takes on an array in a file, with and without us: `python -m benchmarks.memory`.

Each subject runs in a separate process, on the backend of KERAS_BACKEND. Only memory that belongs to the process counts
(`RssAnon` of Linux), not the pages of the file, which the system can drop at any time.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

WIDTH, BATCH, STEPS = 784, 32, 300
SUBJECTS = {
    "data": ("fit", "find_learning_rate", "fit_one_cycle", "race_learning_rates"),
    "model": ("fit", "find_learning_rate", "find_learning_rate on disk"),
}
WORDS, VECTOR = 1_000_000, 100  # of the large model
MAX_EXTRA = 300  # MB above a bare `fit`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the file; 4 by default")
    parser.add_argument("--subject", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    parser.add_argument("--large", choices=SUBJECTS, default="data", help="what is large: the data or the model")
    arguments = parser.parse_args()
    if arguments.subject:
        print(json.dumps(measure(arguments.subject, arguments.large, Path(arguments.file))))
        return
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npy"
        if arguments.large == "data":
            written(file, arguments.gigabytes)
        rows = [in_own_process(subject, arguments.large, file) for subject in SUBJECTS[arguments.large]]
    bare, states = rows[0]["peak_mb"], 2 * rows[0]["state_mb"]
    for row in rows:
        row["holds"] = row["peak_mb"] <= bare + MAX_EXTRA + states
        peak, after = f"{row['peak_mb']:6.0f} MB at most", f"{row['after_mb']:6.0f} MB afterwards"
        print(f"{backend:<10} {row['subject']:<20} {peak}, {after}, {row['seconds']:5.1f} s")
    name = f"{datetime.date.today()}_memory_{arguments.large}_{backend}.json"
    result = {"gigabytes": arguments.gigabytes, "batch_size": BATCH, "steps": STEPS, "backend": backend, "rows": rows}
    (Path(__file__).parent / "results" / name).write_text(json.dumps(result, indent=1) + "\n")


def written(file: Path, gigabytes: float) -> Path:
    """Write random rows, and return the file."""
    import numpy as np

    rows, part = int(gigabytes * 2**30 / 4 / WIDTH), 2**16
    array = np.lib.format.open_memmap(file, "w+", "float32", (rows, WIDTH))
    values = np.random.default_rng(0).normal(size=(part, WIDTH)).astype("float32")
    for begin in range(0, rows, part):
        array[begin : begin + part] = values[: rows - begin]
    array.flush()
    return file


def in_own_process(subject: str, large: str, file: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.memory", "--subject", subject]
    command += ["--large", large, "--file", str(file)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, object] = json.loads(output.splitlines()[-1])
    return result


def measure(subject: str, large: str, file: Path) -> dict[str, object]:
    """Return the memory above that before the call: at most, and afterwards, in MB."""
    import keras

    import onecycle

    x, y, body = large_data(file) if large == "data" else large_model()
    model = keras.Sequential([keras.Input(x.shape[1:]), *body, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    model.optimizer.build(model.trainable_variables)
    fit = {"batch_size": BATCH, "epochs": 1, "steps_per_epoch": STEPS, "verbose": 0}
    test = {"batch_size": BATCH, "num_steps": STEPS, "max_learning_rate": 0.1, "verbose": 0}
    calls = {
        "fit": lambda: model.fit(x, y, **fit),
        "find_learning_rate": lambda: onecycle.find_learning_rate(model, x, y, **test),
        "find_learning_rate on disk": lambda: onecycle.find_learning_rate(model, x, y, keep="disk", **test),
        "fit_one_cycle": lambda: onecycle.fit_one_cycle(model, x, y, max_learning_rate=0.1, **fit),
        "race_learning_rates": lambda: onecycle.race_learning_rates(model, x, y, **fit),
    }
    variables = [*model.variables, *model.optimizer.variables]
    state = sum(math.prod(one.shape) for one in variables) * 4 / 2**20
    before, began = own_memory(), time.perf_counter()
    with Peak() as peak:
        calls[subject]()
    seconds = time.perf_counter() - began
    return {
        "subject": subject, "peak_mb": peak.value - before, "after_mb": own_memory() - before, "seconds": seconds,
        "state_mb": state,
    }  # fmt: skip


def large_data(file: Path) -> tuple[Any, Any, list[Any]]:
    """Return inputs in a file, targets, and the layers of a small model but for its last one."""
    import keras
    import numpy as np

    x = np.load(file, mmap_mode="r")
    return x, np.random.default_rng(0).integers(10, size=len(x)), [keras.layers.Dense(300, "relu")]


def large_model() -> tuple[Any, Any, list[Any]]:
    """Return random words, targets, and the layers of a model of 100 million weights but for its last one."""
    import keras
    import numpy as np

    random = np.random.default_rng(0)
    x, y = random.integers(WORDS, size=(20_000, 16)), random.integers(10, size=20_000)
    return x, y, [keras.layers.Embedding(WORDS, VECTOR), keras.layers.GlobalAveragePooling1D()]


class Peak:
    """Samples the memory of the process within a block; `value` is its highest, in MB."""

    def __enter__(self) -> Peak:
        self.value, self._ended = own_memory(), threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(0.01):
            self.value = max(self.value, own_memory())


def own_memory() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


if __name__ == "__main__":
    main()
