"""What a worker process does. Keras is imported only once the process knows which backend and how many threads."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLD = 2000  # characters of what a process that died had said


@dataclass(frozen=True)
class Surroundings:
    """What a run finds around it in the process that asked for it, and has to find in another.

    Attributes:
        environment: Variables that must be set before Keras is loaded.
        keras: Keras' global settings, which decide about layers as they are made: see `keras_settings`.
        directory: The folder of the records, or None.
    """

    environment: dict[str, str]
    keras: dict[str, Any]
    directory: str | None


def work(payload: NDArray[np.uint8], arm: str, seed: int, around: Surroundings) -> Any:
    """Make one run in this process, write its record where there is a folder, and return it.

    Args:
        payload: What cloudpickle made of (setting, arms): as an array, so that joblib maps it into memory once.
        arm: The arm's name.
        seed: The seed.
        around: What is set before anything of the person's is read.
    """
    prepare(around.environment)
    use_keras_settings(around.keras)
    import cloudpickle

    from onecycle.comparison.runs import train_run
    from onecycle.comparison.store import Store

    setting, arms = cloudpickle.loads(payload.data)
    record = train_run(setting, arms[arm], seed)
    if around.directory is not None:
        Store(Path(around.directory)).write(record)
    return record


def work_apart(payload: NDArray[np.uint8], arm: str, seed: int, around: Surroundings) -> Any:
    """Make one run in a process of its own, for clusters, and return its record.

    The threads of a Dask worker draw from Python's global random state, from which Keras takes the seeds of a model's
    weights: runs with the same seed began with different ones. A process of its own also leaves no GPU memory behind.

    Raises:
        RuntimeError: What went wrong in the run, or that its process was killed.
    """
    with tempfile.TemporaryDirectory(prefix="onecycle-") as folder:
        task = Path(folder, "task")
        # Of Surroundings only its values: the process runs this file as its main module, where the class is another.
        task.write_bytes(pickle.dumps((bytes(payload), arm, seed, vars(around)), protocol=5))
        path = os.pathsep.join(filter(None, sys.path))
        # It ends when its input does: so it does not outlive a worker that is killed.
        with subprocess.Popen(
            [sys.executable, "-m", __name__, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **around.environment, "PYTHONPATH": path},
        ) as process:
            assert process.stderr is not None
            said = process.stderr.read().decode(errors="replace")
        outcome = Path(folder, "outcome")
        if not outcome.exists():
            raise RuntimeError(
                f"Arm {arm!r} with seed {seed}: its process ended with code {process.returncode}, perhaps for lack of "
                f"memory. It said: {said[-TOLD:]}"
            )
        found = pickle.loads(outcome.read_bytes())
    if isinstance(found, BaseException):
        raise found
    return found


def prepare(environment: dict[str, str]) -> None:
    """Set the variables that Keras and its backend read once, when they are loaded.

    Raises:
        RuntimeError: If Keras runs on another backend here.
    """
    if "keras" in sys.modules:
        from onecycle.keras_support import backends

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


def keras_settings() -> dict[str, Any]:
    """Keras' global settings in this process, as plain data. They are set by calls: no variable carries them over."""
    import keras

    return {
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "dtype_policy": keras.dtype_policies.serialize(keras.config.dtype_policy()),
    }


def use_keras_settings(settings: dict[str, Any]) -> None:
    """Set them here."""
    import keras

    keras.config.set_floatx(settings["floatx"])
    keras.config.set_epsilon(settings["epsilon"])
    keras.config.set_image_data_format(settings["image_data_format"])
    keras.config.set_dtype_policy(keras.dtype_policies.deserialize(settings["dtype_policy"]))


def own_device(devices: list[str]) -> str:
    """The worker's share of the machine's devices: joblib numbers its processes, LokyProcess-1, -2 and so on."""
    numbers = re.findall(r"\d+", current_process().name)
    return devices[(int(numbers[-1]) - 1) % len(devices)] if numbers else ",".join(devices)


def main(folder: str) -> None:
    """Do the task that is in the folder, and leave the outcome there."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    payload, arm, seed, around = pickle.loads(Path(folder, "task").read_bytes())
    try:
        outcome: Any = work(np.frombuffer(payload, dtype=np.uint8), arm, seed, Surroundings(**around))
    except Exception as error:  # noqa: BLE001  # it is raised again where the task came from
        outcome = RuntimeError(str(error))
    draft = Path(folder, "draft")
    draft.write_bytes(pickle.dumps(outcome))
    draft.rename(Path(folder, "outcome"))


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
