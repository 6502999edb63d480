"""The environment of a command: the Keras backend, optional packages and output files."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from onecycle.cli.console import UsageError
from onecycle.cli.error_text import cause
from onecycle.keras_support.quiet_import import import_keras

if TYPE_CHECKING:
    import keras

    from onecycle.results import Result

# The formats that `onecycle.plot.save_figure` writes.
PLOT_SUFFIXES = (".png", ".svg", ".pdf")


class Backend(StrEnum):
    """The Keras backends that onecycle supports."""

    tensorflow = "tensorflow"
    jax = "jax"
    torch = "torch"


def select_backend(backend: Backend | None, *, default: Backend | None = None) -> None:
    """Import Keras with a backend, which cannot change afterwards.

    Args:
        backend: The backend. None means `KERAS_BACKEND`, or `default` if that is not set.
        default: Backend if none is given. None leaves the choice to the configuration file of Keras.

    Raises:
        UsageError: If the backend is not installed, or Keras already runs on another one.
    """
    # Otherwise the C++ code of TensorFlow logs the instruction sets of the CPU at every start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name = backend or os.environ.get("KERAS_BACKEND") or default
    if name is None:
        return
    # Found but not imported, which takes seconds. Other names are left to Keras.
    if name in Backend.__members__ and find_spec(name) is None:
        raise UsageError(
            f"The backend {name} is not installed. Install it with: pip install {name}, "
            "or choose another one with --backend."
        )
    # Keras is already imported if the command line runs inside another program.
    if "keras" in sys.modules and (current := sys.modules["keras"].config.backend()) != name:
        raise UsageError(f"Keras already runs on {current}. Start a new process to use {name}.")
    os.environ["KERAS_BACKEND"] = name
    # Here, because the user's module may set KERAS_BACKEND before it imports keras.
    import_keras()


def use_noninteractive_plots() -> None:
    """Let matplotlib draw into files, so that no command needs a display."""
    os.environ.setdefault("MPLBACKEND", "Agg")


def check_output_files(*, save: Path | None, plot: Path | None, model: Path | None = None) -> None:
    """Check, before any work, that the output files can be written.

    Args:
        save: File for the result.
        plot: File for the plot.
        model: File for the trained model.

    Raises:
        UsageError: If matplotlib is missing, a suffix is not supported, or a file cannot be written.
    """
    if plot is not None:
        if find_spec("matplotlib") is None:
            raise UsageError("Plots need matplotlib. Install it with: pip install matplotlib, or omit --plot.")
        if plot.suffix.lower() not in PLOT_SUFFIXES:
            raise UsageError(f"Option --plot must end in .png, .svg or .pdf. Received: --plot {plot}")
    if model is not None and model.suffix != ".keras":
        raise UsageError(f"Option --model must end in .keras. Received: --model {model}")
    for option, path in (("--save", save), ("--plot", plot), ("--model", model)):
        if path is not None:
            check_output_file(path, option)


def check_output_file(path: Path, option: str) -> None:
    """Raise a `UsageError` if an output file cannot be written. Nothing is left behind."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"Option {option} must be a file in an existing folder. There is no folder {folder}.")
    _try_to_write(folder, f".{path.name}.", option)
    if path.is_dir():
        raise UsageError(f"Option {option} must be a file. {path} is a folder.")


def check_output_folder(path: Path, option: str) -> None:
    """Raise a `UsageError` if a folder cannot be made or written to. Nothing is left behind."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"Option {option} must be a folder. {existing} is a file.")
    _try_to_write(existing, path.name, option)


def check_backup_folder(path: Path, *, phases: Sequence[str] = ()) -> None:
    """Raise a `UsageError` if a folder cannot hold a backup, or holds other files, which would be deleted with it.

    Args:
        path: The folder.
        phases: Names of folders inside, each for the backup of a phase of the training.
    """
    check_output_folder(path, "--backup-dir")
    files = [*path.iterdir(), *(file for phase in phases for file in (path / phase).glob("*"))] if path.is_dir() else []
    others = [file.name for file in files if not _is_of_backup(file.name) and file.name not in phases]
    if others:
        raise UsageError(
            "Option --backup-dir must be a folder for the backup alone, since it is deleted when training has "
            f"finished. {path} also has {others[0]}."
        )


def _is_of_backup(name: str) -> bool:
    """Return whether a backup has a file of this name, or the draft of one."""
    return name.removeprefix(".").startswith("epoch_") and ".onecycle-backup" in name


def _try_to_write(folder: Path, prefix: str, option: str) -> None:
    try:
        # With a name as long as that of the draft that `write_atomically` makes.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=prefix, suffix=".part"):
            pass
    except OSError as error:
        raise UsageError(f"Option {option} names a place that cannot be written: {error.strerror}.") from error


def write_result(result: Result, *, save: Path | None, plot: Path | None) -> None:
    """Save a result as JSON and as a plot, each if a file is given. After an error, the summary is still printed."""
    try:
        if save is not None:
            result.save(save)
        if plot is not None:
            from onecycle.plot import save_figure

            save_figure(result.plot(), plot)
    except Exception:
        typer.echo(result.summary())
        raise


def check_can_be_saved(model: keras.Model) -> None:
    """Raise a `UsageError` for a model that Keras cannot save, before it is trained."""
    import keras

    try:
        keras.saving.serialize_keras_object(model)
    except Exception as error:
        raise UsageError(f"Option --model is for models that Keras can save, and it cannot: {cause(error)}") from error


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model. An existing file is replaced as a whole, or left as it is after Ctrl-C or an error."""
    # Renaming is atomic only within a file system, so the draft is in the same folder.
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=f".{path.name}.") as folder:
        draft = Path(folder) / path.name
        model.save(draft)
        draft.replace(path)


@contextmanager
def name_missing_packages() -> Iterator[None]:
    """Raise a `UsageError` that says what to install if an optional package of comparisons is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("scipy", "joblib", "cloudpickle", "distributed", "ray"):
            raise
        # Together with the others that the same command needs.
        packages = {"ray": "ray", "distributed": "distributed"}.get(error.name, "scipy joblib cloudpickle")
        raise UsageError(f"This command needs {error.name}. Install it with: pip install {packages}") from error
