"""Where and when a result was made: the date, the model and the machine."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime

import keras

from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import optimizer_names
from onecycle.results.runs import hardware_text


def origin_of(model: keras.Model) -> dict[str, str]:
    """Return the origin of a result: date, model, optimizer, backend and hardware, each as a short text.

    Args:
        model: The compiled model.
    """
    versions = " with ".join(f"{name} {version}" for name, version in backends.versions().items())
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "model": _model_text(model),
        "optimizer": optimizer_names(model.optimizer),
        "backend": versions,
        "hardware": hardware_text(machine_description()),
    }


def machine_description() -> dict[str, object]:
    """Return the machine's cores, processor, system and devices, but no host name and no paths."""
    try:
        devices = keras.distribution.list_devices()
    except (AttributeError, NotImplementedError):  # some backends cannot list their devices
        devices = []
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()}
    threads = os.environ.get("OMP_NUM_THREADS")  # set in worker processes, see `onecycle.workers.environment`
    return machine | {"devices": devices} | ({} if threads is None else {"threads": threads})


def _model_text(model: keras.Model) -> str:
    size = f", {model.count_params():,} weights" if model.built else ""
    return f"{model.name} ({type(model).__name__}{size})"
