"""What a worker process does. Keras is imported only after the backend and the number of threads are set."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support.quiet_import import import_keras

STDERR_TAIL = 2000  # characters of a dead process's standard error that an error message quotes


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker process needs from the process that sends it tasks.

    Attributes:
        environment: Environment variables that must be set before Keras is imported.
        keras_settings: Global settings of Keras, which affect layers as they are created; see `keras_settings`.
    """

    environment: dict[str, str]
    keras_settings: dict[str, Any]


def run_in_worker(payload: NDArray[np.uint8], arguments: tuple[Any, ...], setup: WorkerSetup) -> Any:
    """Call the function of a task in this process, and return what it returns.

    Args:
        payload: Bytes that cloudpickle made of the function. As an array, joblib maps it into memory only once.
        arguments: Its arguments.
        setup: Settings that apply before any of the user's code is loaded.

    Raises:
        RuntimeError: If Keras is loaded here on another backend.
    """
    set_environment(setup.environment)
    import_keras(seeded=True)
    use_keras_settings(setup.keras_settings)
    # Only now: what it loads imports keras.
    import cloudpickle

    return cloudpickle.loads(payload.data)(*arguments)


def run_in_subprocess(payload: NDArray[np.uint8], name: str, arguments: tuple[Any, ...], setup: WorkerSetup) -> Any:
    """Call the function of a task of a cluster in a separate process, and return what it returns.

    The threads of a Dask worker share Python's global random state, from which Keras draws the seeds of initial
    weights, so runs with the same seed would start from different weights. A separate process also frees its GPU
    memory when it ends.

    Args:
        payload: Bytes that cloudpickle made of the function.
        name: What errors call the task.
        arguments: Its arguments.
        setup: Settings that apply before any of the user's code is loaded.

    Raises:
        RuntimeError: If the function raises or its process is killed.
    """
    with tempfile.TemporaryDirectory(prefix="onecycle-") as folder:
        # Only the values of the setup: the process runs this file as `__main__`, where `WorkerSetup` is another class.
        Path(folder, "task").write_bytes(pickle.dumps((bytes(payload), arguments, vars(setup)), protocol=5))
        code, stderr = _run_module(folder, setup.environment)
        outcome = Path(folder, "outcome")
        if not outcome.exists():
            raise RuntimeError(
                f"{name}: its process ended with exit code {code}, perhaps because it ran out of memory. End of its "
                f"standard error: {stderr[-STDERR_TAIL:]}"
            )
        result = pickle.loads(outcome.read_bytes())
    if isinstance(result, BaseException):
        raise result
    return result


def set_environment(environment: Mapping[str, str]) -> None:
    """Set the environment variables that Keras and its backend read once, when they are imported.

    Raises:
        RuntimeError: If Keras is loaded in this process on another backend.
    """
    if "keras" in sys.modules:
        from onecycle.keras_support import backends

        loaded, required = backends.name(), environment["KERAS_BACKEND"]
        if loaded != required:
            raise RuntimeError(
                f"This worker has loaded Keras on {loaded}, but the training runs on {required}. Start a fresh worker."
            )
        return
    os.environ.update(environment)
    # Hidden devices are not initialized, so processes do not reserve memory on each other's GPU.
    devices = environment.get("ONECYCLE_DEVICES", "")
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = assigned_device(devices.split(","))


def keras_settings() -> dict[str, Any]:
    """Return the global settings of Keras as plain data. They are set by calls, so no environment variable holds them.

    A worker process applies them with `use_keras_settings`.
    """
    import keras

    return {
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "dtype_policy": keras.dtype_policies.serialize(keras.config.dtype_policy()),
    }


def use_keras_settings(settings: Mapping[str, Any]) -> None:
    """Apply the global settings of Keras that `keras_settings` returned in another process."""
    import keras

    keras.config.set_floatx(settings["floatx"])
    keras.config.set_epsilon(settings["epsilon"])
    keras.config.set_image_data_format(settings["image_data_format"])
    keras.config.set_dtype_policy(keras.dtype_policies.deserialize(settings["dtype_policy"]))


def assigned_device(devices: list[str]) -> str:
    """Return the device of this worker process, or all devices if the process has no number.

    Joblib numbers its processes: LokyProcess-1, LokyProcess-2 and so on. Devices are assigned to them in turn.
    """
    numbers = re.findall(r"\d+", current_process().name)
    return devices[(int(numbers[-1]) - 1) % len(devices)] if numbers else ",".join(devices)


def run_folder(folder: str) -> None:
    """Run the task in the folder's file `task`, and write its result or its error to the file `outcome`."""
    threading.Thread(target=_exit_when_stdin_closes, daemon=True).start()
    payload, arguments, setup = pickle.loads(Path(folder, "task").read_bytes())
    outcome: Any
    try:
        outcome = run_in_worker(np.frombuffer(payload, dtype=np.uint8), arguments, WorkerSetup(**setup))
    except Exception as error:  # noqa: BLE001  # raised again in the worker that started this process
        outcome = RuntimeError(str(error))
    # Renamed when it is complete, so that a killed process leaves no part of an outcome.
    draft = Path(folder, "draft")
    draft.write_bytes(pickle.dumps(outcome))
    draft.rename(Path(folder, "outcome"))


def _run_module(folder: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run this module on the folder in another process, and return its exit code and standard error."""
    path = os.pathsep.join(filter(None, sys.path))
    # The process exits when its standard input closes, so it does not outlive a worker that is killed.
    with subprocess.Popen(
        [sys.executable, "-m", __name__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment, "PYTHONPATH": path},
    ) as process:
        assert process.stderr is not None
        stderr = process.stderr.read().decode(errors="replace")
    return process.returncode, stderr


def _exit_when_stdin_closes() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    run_folder(sys.argv[1])
