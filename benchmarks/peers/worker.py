"""A process with one subject: it reads a number of steps from each line, and prints what the call took as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path

# One core, set before any library counts the cores.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    subject, net = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        from benchmarks.peers.subjects import prepare

        prepared = prepare(subject, net)
    before, memory = prepared.weights(), _peak_memory()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            cpu, wall = time.process_time(), time.perf_counter()
            prepared.call(int(line))
            taken = time.process_time() - cpu, time.perf_counter() - wall
        after = prepared.weights()
        same = all((one == other).all() for one, other in zip(before, after, strict=True))
        print(json.dumps({"cpu": taken[0], "wall": taken[1], "same": same, "mb": _peak_memory() - memory}), flush=True)
        before = after


def _peak_memory() -> float:
    """Return the largest memory that the process had so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
