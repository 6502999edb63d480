"""`python -m benchmarks.start`: what `onecycle --help` and `import onecycle` take, beside Python alone."""

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

HELP_TARGET = 0.3  # seconds of CPU time: one thread, so that an otherwise idle machine takes as long by the clock
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
        timed(command)  # from here on the files are in the system's cache and compiled
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    names = list(COMMANDS)
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            taken[name].append(timed(COMMANDS[name]))
    found = {
        what: {name: summary([one[what] for one in all_]) for name, all_ in taken.items()} for what in ("cpu", "wall")
    }
    write(rounds, found, taken)


def timed(command: Sequence[str]) -> dict[str, float]:
    """Seconds of a process from its start to its end, and of its CPU time."""
    cpu, wall = children(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"wall": round(time.perf_counter() - wall, 5), "cpu": round(children() - cpu, 5)}


def children() -> float:
    """CPU seconds of all processes that were started from here and have ended."""
    used = os.times()
    return used.children_user + used.children_system


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and the quarter on either side."""
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return {"median": float(middle), "lower quartile": float(low), "upper quartile": float(high)}


def write(rounds: int, found: dict[str, dict[str, dict[str, float]]], raw: dict[str, list[dict[str, float]]]) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    median = found["cpu"]["onecycle --help"]["median"]
    facts = {
        "what": "seconds from the start of a process to its end, in turns; see benchmarks/README.md",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "rounds": rounds,
        "seconds": found,
        "target": {"onecycle --help": HELP_TARGET},
        "holds": median <= HELP_TARGET,
        "raw": raw,
    }
    path = Path(__file__).parent / "results" / f"{today}_start.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")
    for name in COMMANDS:
        cpu, wall = (found[what][name]["median"] for what in ("cpu", "wall"))
        print(f"{name:24} CPU {cpu:.3f} s  by the clock {wall:.3f} s")
    print(f"onecycle --help, target {HELP_TARGET} s: {'holds' if median <= HELP_TARGET else 'does not hold'}")


main()
