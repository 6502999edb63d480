"""Continuing the cycle of an interrupted run, and the length of a cycle."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.callback_list import fit_callbacks
from onecycle.keras_support.keras_backups import backup_folders
from onecycle.keras_support.optimizers import raw_step
from onecycle.training.backups.supplement import BackupSupplement

_KEY = "_onecycle_resumable"


class Resumption:
    """Where the cycle of a `fit` began, if `BackupAndRestore` may resume an interrupted run.

    Create it before training begins: restoring a backup then changes the step counter.

    Args:
        callback: The callback that runs the cycle.
        model: The model.

    Attributes:
        restores: Whether a backup will be restored when training begins.
        supplement: What Keras' backup lacks.

    Raises:
        ValueError: If the backup is damaged.
    """

    def __init__(self, callback: keras.callbacks.Callback, model: keras.Model) -> None:
        optimizer = getattr(model, "optimizer", None)
        self._model = model
        self._step_before = 0 if optimizer is None else raw_step(optimizer)
        callbacks = fit_callbacks(callback)
        self._folders, self.restores = backup_folders(callbacks)
        self.supplement = BackupSupplement(callbacks, model)

    def counter_changed(self, current_step: int) -> bool:
        """Return whether the step counter has changed since before training began, as when a checkpoint is loaded."""
        return current_step != self._step_before

    def start_step(self, current_step: int) -> int:
        """Return the step at which the cycle began: the current one, or an earlier one where a run is resumed."""
        if not self.restores:
            return current_step
        remembered: tuple[tuple[str, ...], int] | None = getattr(self._model, _KEY, None)
        if remembered is not None and remembered[0] == self._folders:
            return remembered[1]
        # In a new process, the counter was at the start of the cycle before the backup was restored.
        return min(self._step_before, current_step)

    def restore_supplement(self) -> None:
        """Restore what Keras' backup lacks, after Keras has restored it."""
        if self.restores:
            self.supplement.restore()

    def remember(self, start_step: int) -> None:
        """Store the start on the model, since the same model may resume with its counter at any step."""
        if self._folders:
            set_untracked(self._model, **{_KEY: (self._folders, start_step)})

    def forget(self) -> None:
        """Forget the start once training has ended: the next run is a new one."""
        unset_untracked(self._model, _KEY)


def cycle_length(
    params: Mapping[str, int | None], epoch: int, *, total_steps: int | None, steps_done: int, skips_updates: bool
) -> int | None:
    """Return the length of the cycle: the steps of this `fit` and those of the run that it resumes.

    Args:
        params: `callback.params` of Keras.
        epoch: The first epoch of this `fit`.
        total_steps: The length, if the user gave it.
        steps_done: Steps of the cycle before this `fit`; 0 unless it resumes a run.
        skips_updates: Whether the step counter may lag behind the batches.

    Returns:
        The number of steps, or None if the length of an epoch is not known.
    """
    steps_per_epoch, epochs = params.get("steps"), params.get("epochs")
    if total_steps is not None or steps_per_epoch is None or epochs is None:
        return total_steps
    # After a backup in the middle of an epoch, that epoch is trained again; the cycle keeps its length.
    # With skipped updates the counter lags behind the batches, so a part of an epoch counts as a whole one.
    epochs_done = -(-steps_done // steps_per_epoch) if skips_updates else steps_done // steps_per_epoch
    return (epochs - epoch + min(epochs_done, epoch)) * steps_per_epoch
