"""What a worker process does. Keras is imported only once the process knows which backend and how many threads."""

from __future__ import annotations

import os
import re
import sys
import threading
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Keras' random states belong to the process: in one of several threads a run would draw from its neighbour's.
_one_at_a_time = threading.Lock()


def work(payload: NDArray[np.uint8], arm: str, seed: int, environment: dict[str, str], directory: str | None) -> Any:
    """Make one run, write its record where there is a folder, and return it.

    Args:
        payload: What cloudpickle made of (setting, arms): as an array, so that joblib maps it into memory once.
        arm: The arm's name.
        seed: The seed.
        environment: Variables to set unless Keras has been loaded here already.
        directory: The folder of the records, or None.
    """
    with _one_at_a_time:
        prepare(environment)
        import cloudpickle

        from onecycle.studies.runs import train_run
        from onecycle.studies.store import Store

        setting, arms = cloudpickle.loads(payload.data)
        record = train_run(setting, arms[arm], seed)
        if directory is not None:
            Store(Path(directory)).write(record)
        return record


def prepare(environment: dict[str, str]) -> None:
    """Set the variables that Keras and its backend read once, when they are loaded.

    Raises:
        RuntimeError: If Keras runs on another backend here.
    """
    if "keras" in sys.modules:
        from onecycle import backends

        loaded = backends.name()
        asked = environment["KERAS_BACKEND"]
        if loaded != asked:
            raise RuntimeError(
                f"This worker has loaded Keras on {loaded}, and the comparison runs on {asked}: start a fresh worker."
            )
        return
    devices = environment.get("ONECYCLE_DEVICES", "")
    os.environ.update(environment)
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = own_device(devices.split(","))


def own_device(devices: list[str]) -> str:
    """The worker's share of the machine's devices: joblib numbers its processes, LokyProcess-1, -2 and so on."""
    numbers = re.findall(r"\d+", current_process().name)
    return devices[(int(numbers[-1]) - 1) % len(devices)] if numbers else ",".join(devices)
