"""Measure the start-up time of `onecycle --help` and `import onecycle` (`python -m benchmarks.start`)."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

HELP_TARGET = 0.3  # seconds of CPU time; with one thread, wall time is about the same on an idle machine
PYTHON = sys.executable
COMMANDS = {
    "python -c pass": (PYTHON, "-c", "pass"),
    "import onecycle": (PYTHON, "-c", "import onecycle"),
    "onecycle --help": (str(Path(PYTHON).with_name("onecycle")), "--help"),
    "python -c pass, again": (PYTHON, "-c", "pass"),
}
PACKAGES = ("onecycle", "typer", "rich")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    for command in COMMANDS.values():
        timed(command)  # compiles the modules and fills the file cache
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    names = list(COMMANDS)
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            taken[name].append(timed(COMMANDS[name]))
    seconds = {
        what: {name: summary([one[what] for one in all_]) for name, all_ in taken.items()} for what in ("cpu", "wall")
    }
    write_result(rounds, seconds, taken)


def timed(command: Sequence[str]) -> dict[str, float]:
    """Return the wall time and the CPU time of a process, in seconds."""
    cpu, wall = cpu_time_of_children(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"wall": round(time.perf_counter() - wall, 5), "cpu": round(cpu_time_of_children() - cpu, 5)}


def cpu_time_of_children() -> float:
    """Return the CPU time, in seconds, of all child processes that have ended."""
    used = os.times()
    return used.children_user + used.children_system


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles."""
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return {"median": float(middle), "lower quartile": float(low), "upper quartile": float(high)}


def write_result(
    rounds: int, seconds: dict[str, dict[str, dict[str, float]]], raw: dict[str, list[dict[str, float]]]
) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    median = seconds["cpu"]["onecycle --help"]["median"]
    facts = {
        "what": "wall and CPU time of a process, run in turns; see benchmarks/README.md",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "rounds": rounds,
        "seconds": seconds,
        "target": {"onecycle --help": HELP_TARGET},
        "holds": median <= HELP_TARGET,
        "raw": raw,
    }
    path = Path(__file__).parent / "results" / f"{today}_start.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")
    for name in COMMANDS:
        cpu, wall = (seconds[what][name]["median"] for what in ("cpu", "wall"))
        print(f"{name:24} CPU {cpu:.3f} s  wall {wall:.3f} s")
    print(f"onecycle --help, target {HELP_TARGET} s: {'holds' if median <= HELP_TARGET else 'does not hold'}")


main()
