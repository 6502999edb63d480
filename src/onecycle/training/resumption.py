"""One cycle inside one call of `fit`: how long it is, where it begins, putting it in and taking it out."""

from __future__ import annotations

from typing import Any

from onecycle.keras_support.attributes import set_quietly, unset_quietly
from onecycle.keras_support.callback_list import backups_to_restore
from onecycle.keras_support.optimizers import raw_step

_RESUMABLE = "_onecycle_resumable"


class Resumption:
    """Where the cycle of a `fit` begins that `BackupAndRestore` may let resume an interrupted one.

    To be made before training begins: what is restored then takes the step counter back with it.
    """

    def __init__(self, callback: Any, model: Any) -> None:
        optimizer = getattr(model, "optimizer", None)
        self._model = model
        self._step_before = 0 if optimizer is None else raw_step(optimizer)
        self._folders, self._restores = backups_to_restore(callback)

    def begun_at(self, now: int) -> int:
        """The step at which the cycle began: now, or before the interruption where one is resumed."""
        if not self._restores:
            return now
        folders, begun_at = vars(self._model).get(_RESUMABLE, (None, None))
        return begun_at if folders == self._folders else min(self._step_before, now)

    def began(self, step: int) -> None:
        """Remember it on the model: the same model may resume with its counter anywhere."""
        if self._folders:
            set_quietly(self._model, **{_RESUMABLE: (self._folders, step)})

    def ended(self) -> None:
        """Forget it: the next run is a new one."""
        unset_quietly(self._model, _RESUMABLE)


def settle_length(
    params: dict[str, Any], epoch: int, *, total_steps: int | None, steps_done: int, skips_updates: bool
) -> int | None:
    """Length of the cycle: the steps of this `fit`, and those that a resumed run has behind it.

    Args:
        params: Keras' `callback.params`.
        epoch: The first epoch of this `fit`.
        total_steps: The length asked for, if any.
        steps_done: Steps of the original cycle made before this `fit`, 0 unless it resumes.
        skips_updates: Whether the counter may lag behind the batches.
    """
    if total_steps is not None:
        return total_steps
    per_epoch = params.get("steps")
    if per_epoch is None:
        return None
    # A backup in mid-epoch has its epoch begun anew; the cycle stays as long as it was.
    whole_epochs = -(-steps_done // per_epoch) if skips_updates else steps_done // per_epoch
    return int((params["epochs"] - epoch + min(whole_epochs, epoch)) * per_epoch)
