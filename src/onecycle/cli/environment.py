"""Settles, before any work, what a command needs: Keras' backend, and files that can be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from onecycle.commands.console import WrongUse


class Backend(StrEnum):
    """The backends of Keras that onecycle works on."""

    tensorflow = "tensorflow"
    jax = "jax"
    torch = "torch"


def use_backend(backend: Backend | None, *, default: Backend | None = None) -> None:
    """Choose Keras' backend, which is settled for good when keras is first imported.

    Args:
        backend: The backend asked for. None leaves the choice to KERAS_BACKEND, then `default`.
        default: The backend where nothing says otherwise. None leaves the choice to Keras' own settings.
    """
    # TensorFlow's C++ code reports its instruction sets at every start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name = backend.value if backend else os.environ.get("KERAS_BACKEND") or (default.value if default else None)
    if name is None:
        return
    if name in Backend.__members__ and find_spec(name) is None:
        raise WrongUse(
            f"The backend {name} is not installed: pip install 'onecycle[{name}]', or choose another with --backend."
        )
    if "keras" in sys.modules and sys.modules["keras"].config.backend() != name:
        raise WrongUse(f"Keras runs on {sys.modules['keras'].config.backend()} already; start anew for {name}.")
    os.environ["KERAS_BACKEND"] = name
    # Now, before a person's own module can choose otherwise.
    import keras  # noqa: F401


def check_writable(*, save: Path | None, plot: Path | None, model: Path | None = None) -> None:
    """Fail before the work and not after it when a result could not be written."""
    if plot is not None and find_spec("matplotlib") is None:
        raise WrongUse("Pictures need matplotlib: pip install 'onecycle[plot]', or leave --plot out.")
    if model is not None and model.suffix != ".keras":
        raise WrongUse(f"The file for --model must end in .keras. Received: {model}")
    for option, path in (("--save", save), ("--plot", plot), ("--model", model)):
        if path is not None and not path.absolute().parent.is_dir():
            raise WrongUse(f"There is no folder {path.absolute().parent} for {option}: make it first.")


@contextmanager
def told_what_to_install() -> Iterator[None]:
    """Say which extra a comparison lacks, where it lacks one."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("scipy", "joblib", "cloudpickle", "distributed", "ray"):
            raise
        extra = "ray" if error.name == "ray" else "studies"
        raise WrongUse(f"This needs {error.name}: pip install 'onecycle[{extra}]'.") from error


def use_files_only() -> None:
    """Draw into files: a picture never needs a display."""
    os.environ.setdefault("MPLBACKEND", "Agg")
