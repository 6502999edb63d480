"""The environment variables of worker processes: backend, threads and devices."""

from __future__ import annotations

import os
import shutil
import subprocess

from onecycle.keras_support import backends

INHERITED = ("ONECYCLE_DATA", "TF_CPP_MIN_LOG_LEVEL", "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_X64")


def backend_variables() -> dict[str, str]:
    """Return the backend and the other variables that a worker process needs on any machine."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {"KERAS_BACKEND": backends.name(), **inherited}


def thread_variables(threads: int) -> dict[str, str]:
    """Return the variables that limit the backends' threads. Joblib sets those of the numerical libraries."""
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": count,
        "NPROC": count,  # XLA's thread pool on a CPU
    }


def device_variables(jobs: int) -> dict[str, str]:
    """Return the variables that assign the machine's GPUs to worker processes, each process one.

    Where processes share a GPU, none may reserve all of its memory.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = _gpus() if visible is None else visible.split(",")
    if not devices or devices == [""]:
        return {}
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return {"ONECYCLE_DEVICES": ",".join(devices), **(shared if jobs > len(devices) else {})}


def _gpus() -> list[str]:
    """Return the indices of the GPUs. Asking the backend would reserve memory on them."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    result = subprocess.run(
        [command, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return result.stdout.split() if result.returncode == 0 else []
