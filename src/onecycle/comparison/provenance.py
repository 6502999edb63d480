"""The versions of packages that a record depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import numpy as np

from onecycle.keras_support import backends


def package_versions() -> dict[str, str]:
    """Return package -> version, for the packages that the numbers of a run depend on."""
    ours = {"onecycle": version("onecycle"), "python": platform.python_version()}
    return {**backends.versions(), "numpy": np.__version__, **ours}
