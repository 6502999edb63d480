"""The free memory of the device that holds a model's variables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onecycle.keras_support import backends

if TYPE_CHECKING:
    import keras

MEMORY_OF_LINUX = Path("/proc/meminfo")


def free_bytes(variable: keras.Variable) -> int | None:
    """Return how many bytes are free where a variable is, or None where the system does not say.

    TensorFlow does not say how large the memory of a GPU is, nor do JAX and PyTorch for every kind of device. The
    memory of the host is known on Linux.
    """
    if backends.name() == "jax":
        device = next(iter(variable.value.devices()))
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            return int(stats["bytes_limit"] - stats["bytes_in_use"])
        return _free_on_host() if device.platform == "cpu" else None
    if backends.name() == "torch":
        import torch

        device = variable.value.device
        if device.type == "cuda":
            unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            return int(torch.cuda.mem_get_info(device)[0] + unused)
        return _free_on_host() if device.type == "cpu" else None
    return _free_on_host() if "CPU" in variable.value.device else None


def _free_on_host() -> int | None:
    try:
        lines = MEMORY_OF_LINUX.read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    kilobytes = fields.get("MemAvailable", "").split()
    return 1024 * int(kilobytes[0]) if kilobytes else None
