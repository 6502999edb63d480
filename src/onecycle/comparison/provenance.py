"""The origin of a record: the versions of packages and the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import keras
import numpy as np

from onecycle.keras_support import backends


def package_versions() -> dict[str, str]:
    """Return package -> version, for the packages that the numbers of a run depend on."""
    ours = {"onecycle": version("onecycle"), "python": platform.python_version()}
    return {**backends.versions(), "numpy": np.__version__, **ours}


def machine_description() -> dict[str, object]:
    """Return the machine's cores, processor, system and devices, but no host name and no paths."""
    try:
        devices = keras.distribution.list_devices()
    except (AttributeError, NotImplementedError):  # some backends cannot list their devices
        devices = []
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()}
    threads = os.environ.get("OMP_NUM_THREADS")  # set in worker processes, see `environment`
    return machine | {"devices": devices} | ({} if threads is None else {"threads": threads})
