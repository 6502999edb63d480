"""Measure the time until `onecycle find` shows its progress: `python -m benchmarks.first_line`.

The target is at most half a second more than a script needs that imports Keras with the same backend and builds the
model. JAX compiles the initializers of the first model of a process, which takes most of a second.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import pty
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

TARGET = 0.5  # seconds of CPU time; with one thread, wall time is about the same on an idle machine
BACKENDS = ("tensorflow", "jax", "torch")
SHOWN = b"0/300"  # the beginning of the progress bar
TICKS = os.sysconf("SC_CLK_TCK")
MODULE = """
import keras, numpy as np

def make():
    x = np.random.default_rng(0).normal(size=(2000, 13)).astype("float32")
    model = keras.Sequential([keras.Input((13,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    return model, x, x[:, :1]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder, "mine.py")
        module.write_text(MODULE)
        find = [str(Path(sys.executable).with_name("onecycle")), "find", f"{module}:make"]
        script = f"import sys; sys.path.append({folder!r}); import mine; mine.make(); print('0/300')"
        commands = {
            "import keras": [sys.executable, "-c", "import keras; print('0/300')"],
            "model built": [sys.executable, "-c", script],
            "onecycle find": find,
        }
        taken = {backend: {name: [] for name in commands} for backend in BACKENDS}
        for backend in BACKENDS:
            for turn in range(1 + rounds):
                for name, command in commands.items():
                    seconds = until_shown(command, {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"})
                    if turn:  # the first one compiles the modules and fills the file cache
                        taken[backend][name].append(seconds)
    write_result(taken)


def until_shown(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Return the wall time and the CPU time in seconds until a process in a terminal shows the progress bar."""
    start = time.perf_counter()
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(environment)
        os.execv(command[0], list(command))
    shown, seconds = b"", {}
    while True:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # the process has ended
            break
        shown += some
        if not seconds and SHOWN in shown:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            cpu = (int(fields[11]) + int(fields[12])) / TICKS
            seconds = {"wall": round(time.perf_counter() - start, 3), "cpu": round(cpu, 3)}
    os.close(terminal)
    if os.waitpid(process, 0)[1] or not seconds:
        raise RuntimeError(f"{command} failed: {shown.decode(errors='replace')[-1000:]}")
    return seconds


def write_result(taken: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> None:
    medians = {
        backend: {name: median(one["cpu"] for one in seconds) for name, seconds in commands.items()}
        for backend, commands in taken.items()
    }
    more = {backend: round(one["onecycle find"] - one["model built"], 3) for backend, one in medians.items()}
    for backend, one in medians.items():
        verdict = "holds" if more[backend] <= TARGET else "does not hold"
        print(f"{backend:<12} {', '.join(f'{name} {s:.2f} s' for name, s in one.items())}: target {TARGET} s {verdict}")
    facts = {
        "what": "time until `onecycle find` shows its progress; see benchmarks/README.md",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("onecycle", "keras")},
        "load": os.getloadavg(),
        "target": TARGET,
        "medians of CPU time": medians,
        "seconds after the model is built": more,
        "holds": {backend: seconds <= TARGET for backend, seconds in more.items()},
        "raw": taken,
    }
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = Path(__file__).parent / "results" / f"{date}_first_line.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
