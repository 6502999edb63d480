"""What the backup of Keras' `BackupAndRestore` lacks, kept beside it: random generators, seeds, and a certain epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.keras_backups import check_backups, writes_each_epoch
from onecycle.keras_support.optimizers import raw_step
from onecycle.keras_support.portable_state import assign_values, unsaved_variables_of, values_of
from onecycle.keras_support.random_state import portable_random_states, set_portable_random_states
from onecycle.training.backups.files import Backup, BackupFolder


class BackupSupplement:
    """The file beside the backups of each `BackupAndRestore` of a `fit` that writes one after each epoch.

    Args:
        callbacks: The callbacks of the `fit`.
        model: The model.

    Raises:
        ValueError: If a backup of Keras is damaged.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model) -> None:
        check_backups(callbacks)
        self._model = model
        folders = [str(backup.backup_dir) for backup in callbacks if writes_each_epoch(backup)]
        self._folders = [BackupFolder(Path(folder)) for folder in folders]

    def write(self, epoch: int) -> None:
        """Write what is needed after this epoch. Call it before Keras writes its backup of the same epoch."""
        if not self._folders:
            return
        record = {"step": raw_step(self._model.optimizer), "random": portable_random_states()}
        backup = Backup(epoch + 1, record, values_of(unsaved_variables_of(self._model)))
        for folder in self._folders:
            folder.write(backup)

    def restore(self) -> None:
        """Restore what belongs to the weights that Keras has restored. Call it after that."""
        for folder in self._folders:
            for backup in folder.whole():
                # A process that was killed between Keras' two files left the weights of one epoch and the number of
                # another, so the step counter, which is among the weights, says which epoch it was.
                if backup.record["step"] == raw_step(self._model.optimizer):
                    assign_values(self._model, unsaved_variables_of(self._model), backup.arrays)
                    set_portable_random_states(backup.record["random"])
                    set_untracked(self._model, _initial_epoch=backup.epoch)
                    return
