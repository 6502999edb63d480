"""Measure range tests and trainings of all libraries side by side: `make bench-peers`.

Each subject runs in a separate process. They take turns: one makes a call while the others wait.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.peers.nets import NETS
from benchmarks.peers.subjects import SUBJECTS
from benchmarks.peers.summary import is_complete, summary

RESULTS = Path(__file__).parents[1] / "results"
# Steps of a short and a long call: whole epochs of the data. Their difference gives the time of a step.
STEPS = {"fashion-mnist-cnn": (160, 480), "residual-cnn": (160, 480)}
DEFAULT_STEPS = (320, 1280)
PACKAGES = ("onecycle", "keras", "jax", "tensorflow-cpu", "torch", "optax", "torch-lr-finder", "lightning", "fastai")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="*", default=NETS, choices=NETS)
    parser.add_argument("--subjects", nargs="*", default=list(SUBJECTS), choices=list(SUBJECTS))
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    for net in arguments.nets:
        measured = measure(net, arguments.subjects, arguments.rounds)
        for subject, found in measured.items():
            print(f"{net:<18} {subject:<30} {line(found)}", flush=True)
        write(net, measured)


def measure(net: str, subjects: list[str], rounds: int) -> dict[str, dict]:
    """Return, for each subject, what every call took, or the error that ended it.

    The first call compiles. It is followed by `rounds` short calls and two long ones.
    """
    workers = {subject: Worker(subject, net) for subject in subjects}
    short, long = STEPS.get(net, DEFAULT_STEPS)
    plan = [short] * (1 + rounds) + [long] * 2
    for number, steps in enumerate(plan):
        names = list(workers)
        shift = number % len(names)
        for subject in names[shift:] + names[:shift]:
            workers[subject].call(steps)
    return {subject: worker.finish() for subject, worker in workers.items()}


class Worker:
    """A process with one subject.

    Args:
        subject: Name of the subject.
        net: Name of the network.
    """

    def __init__(self, subject: str, net: str) -> None:
        backend = SUBJECTS[subject]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        if backend:
            environment["KERAS_BACKEND"] = backend
        self._calls: list[dict] = []
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in `finish`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.worker", subject, net],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment,
        )  # fmt: skip
        self._read()  # waits until it is ready

    def call(self, steps: int) -> None:
        """Have it train for a number of steps."""
        if self._process.poll() is None and self._process.stdin is not None:
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
            found = self._read()
            if found:
                self._calls.append({"steps": steps, **found})

    def finish(self) -> dict:
        """End it and return its calls."""
        self._process.stdin.close()
        self._process.wait()
        self._errors.seek(0)
        error = self._errors.read()[-2000:] if self._process.returncode else None
        self._errors.close()
        return {"calls": self._calls, "error": error}

    def _read(self) -> dict:
        text = self._process.stdout.readline()
        return json.loads(text) if text else {}


def line(found: dict) -> str:
    """Return what a subject took, as text."""
    if not is_complete(found):
        return f"failed: {(found['error'] or 'no answer').strip().splitlines()[-1]}"
    one = summary(found)
    return (
        f"first {one['first']:6.2f} s, warm {one['warm']:6.3f} s, step {one['step']:7.1f} us, {one['mb']:5.0f} MB, "
        f"{'given back' if one['given_back'] else 'changed'}"
    )


def write(net: str, measured: dict[str, dict]) -> None:
    """Write all calls of a network."""
    result = {
        "date": str(datetime.date.today()), "machine": platform.platform(), "net": net,
        "versions": {name: installed for name in PACKAGES if (installed := _version(name))}, "subjects": measured,
    }  # fmt: skip
    path = RESULTS / f"{datetime.date.today()}_peers_{net}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
