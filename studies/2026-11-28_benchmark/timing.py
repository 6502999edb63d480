"""Time a few training steps of each task, one run at a time and five together: python timing.py [TASK ...]

Prints processor seconds, which other processes do not inflate, and what the truth costs with the faster way.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from split import JUDGING, TUNING

STEPS, EPOCHS, TOGETHER = 10, 13, 5
RUNS = 55  # of a task: nine half-decades and two quarter-decades, five seeds


def main() -> None:
    total = 0.0
    for name in sys.argv[1:] or TUNING + JUDGING:
        one, five, held_out, steps = seconds_of(name)
        run = steps * min(one, five) + held_out
        total += RUNS * run / 3600
        print(f"{name:28} {steps} steps, {1e3 * one:.2f} ms alone, {1e3 * five:.2f} ms in a group, "
              f"evaluation {held_out:.2f} s, run {run:.1f} s, truth so far {total:.2f} hours", flush=True)  # fmt: skip


def seconds_of(name: str) -> tuple[float, float, float, int]:
    """Return the seconds of a step alone and in a group, those of an evaluation, and the number of steps of a run."""
    from training import Runner

    runner = Runner(name)
    rows = STEPS * runner.task.batch_size
    runner.x, runner.y = runner.x[:rows], runner.y[:rows]
    alone = seconds_of_step(runner, 1)
    grouped = seconds_of_step(runner, TOGETHER)
    weights = runner.model.get_weights()
    runner.evaluate(weights)
    began = time.process_time()
    runner.evaluate(weights)
    return alone, grouped, time.process_time() - began, runner.steps


def seconds_of_step(runner: Any, count: int) -> float:
    """Return the seconds of a step and run, from the difference of two numbers of epochs."""
    from onecycle.engine import Member

    members = [Member(1e-4, seed=k, start=runner.task.build(k)) for k in range(count)]
    seconds = []
    for epochs in (EPOCHS, 1, EPOCHS):  # the first call compiles
        runner.epochs = epochs
        began = time.process_time()
        runner.train(members, "vmap" if count > 1 else "scan")
        seconds.append(time.process_time() - began)
    return (seconds[2] - seconds[1]) / (EPOCHS - 1) / STEPS / count


if __name__ == "__main__":
    # As in truth.py.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    main()
