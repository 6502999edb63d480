"""The backups of Keras' `BackupAndRestore`: where they are, and whether they are whole.

Keras writes its files in place, so a process that is killed meanwhile leaves a damaged one. Private names of Keras,
checked on Keras 3.15.1: `BackupAndRestore._training_metadata_path`, `_weights_path` and `_prev_weights_path`, and
`keras.src.utils.file_utils`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import keras
from keras.src.utils import file_utils


def backup_folders(callbacks: Sequence[keras.callbacks.Callback]) -> tuple[tuple[str, ...], bool]:
    """Return the folders of the `BackupAndRestore`s among callbacks, and whether any holds a backup.

    Call it before training begins: a backup that exists then will be restored. Later there may be a new one.
    """
    found = [one for one in callbacks if isinstance(one, keras.callbacks.BackupAndRestore)]
    folders = tuple(str(backup.backup_dir) for backup in found)
    return folders, any(file_utils.exists(backup._training_metadata_path) for backup in found)


def check_backups(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Check that the files of the `BackupAndRestore`s among callbacks can be read.

    Raises:
        ValueError: For the first damaged file, with the remedy.
    """
    for backup in callbacks:
        # Keras can also write to remote folders.
        if isinstance(backup, keras.callbacks.BackupAndRestore) and "://" not in str(backup.backup_dir):
            _check(backup)


def writes_each_epoch(backup: keras.callbacks.Callback) -> bool:
    """Return whether a callback is a `BackupAndRestore` that writes a local backup after each epoch."""
    is_backup = isinstance(backup, keras.callbacks.BackupAndRestore) and backup.save_freq == "epoch"
    return is_backup and "://" not in str(backup.backup_dir)


def _check(backup: keras.callbacks.BackupAndRestore) -> None:
    weights, metadata = Path(backup._weights_path), Path(backup._training_metadata_path)
    previous = Path(backup._prev_weights_path)
    error = _error_of_weights(weights) if weights.exists() else None
    # Keras restores the copy before by itself.
    if isinstance(error, OSError) and previous.exists() and _error_of_weights(previous) is None:
        return
    file = weights
    if error is None:
        file, error = metadata, _error_of_metadata(metadata, expected=weights.exists())
    if error is not None:
        raise ValueError(
            "The backup of BackupAndRestore is damaged, since the process ended while Keras wrote it: "
            f"{file} cannot be read ({error}). Delete the folder {backup.backup_dir} to start anew. What survives this "
            "are the backups of `fit_one_cycle(backup_dir=...)`, and mostly those of "
            "`BackupAndRestore(double_checkpoint=True)`."
        )


def _error_of_weights(file: Path) -> Exception | None:
    """Return the error of reading all of a file of weights, or None."""
    import h5py  # with which Keras wrote the file

    def read(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            item[()]

    try:
        with h5py.File(file) as content:
            content.visititems(read)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        return error
    return None


def _error_of_metadata(file: Path, *, expected: bool) -> Exception | None:
    """Return the error of reading the file with the number of the epoch, or None.

    Args:
        file: The file.
        expected: Whether there are weights that belong to it.
    """
    if not file.exists():
        return FileNotFoundError("it does not exist, unlike the weights") if expected else None
    try:
        json.loads(file.read_text())["epoch"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return error
    return None
