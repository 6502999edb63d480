"""Makes the runs that are missing.

ONECYCLE_DATA=DIR JAX_PLATFORMS=cpu python studies/2026-11-27_bias_correction/run.py [TASK ...]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

import numpy as np
import records
from records import Records, Run
from tasks import TASKS, Task, load
from training import WEIGHT_DECAY, evaluate, schedule, train

AT_ONCE = 40  # more runs in one call are no faster and need more memory


def main() -> None:
    records.RUNS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or TASKS:
        began = time.process_time()
        found = records.read(name)
        complete(name, found, records.selection())
        complete(name, found, list(records.compared(found, "judging")))
        if name in records.EXTENDED:
            complete(name, found, list(records.compared(found, "extension")))
        print(name, len(found), "runs,", round(time.process_time() - began), "CPU seconds", flush=True)


def complete(name: str, found: Records, planned: Iterable[Run]) -> None:
    """Make those of the planned runs that have no record, and record them."""
    missing = [run for run in planned if run not in found]
    for steps in records.LENGTHS:
        here = [run for run in missing if run.steps == steps]
        for first in range(0, len(here), AT_ONCE):
            runs = here[first : first + AT_ONCE]
            found |= zip(runs, outcomes(load(name), runs), strict=True)
    if missing:
        records.write(name, found)


def outcomes(task: Task, runs: list[Run]) -> list[tuple[float, float]]:
    """Train runs of one length together; the held-out loss and error of each after its last step."""
    starts = [task.start(run.seed) for run in runs]
    start = {weight: np.stack([one[weight] for one in starts]) for weight in task.shapes}
    batches = np.stack([task.batches(run.seed, run.steps) for run in runs])
    schedules = [schedule(run.steps, run.variant) for run in runs]
    rates, betas, divisors = (np.stack(column).astype(np.float32) for column in zip(*schedules, strict=True))
    rates *= np.array([[run.rate] for run in runs], np.float32)
    decay = np.array([WEIGHT_DECAY[run.optimizer] for run in runs], np.float32)
    loss, error = evaluate(task, train(task, start, batches, rates, betas, divisors, decay))
    return list(zip(np.asarray(loss).tolist(), np.asarray(error).tolist(), strict=True))


if __name__ == "__main__":
    main()
