"""What onecycle needs of Keras that Keras does not offer publicly, all of it in one room.

Checked on Keras 3.15.1. `tests/keras/test_keras_internals*.py` fail when one of these names changes its meaning.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras.src.utils import file_utils


def callbacks_beside(callback: Any) -> list[Any]:
    """All callbacks of the running `fit`, the given one included; empty if they cannot be found.

    Keras tells a callback nothing of the others, so the list is taken from the `CallbackList` that is calling.
    """
    calling = _calling_list(callback)
    return [] if calling is None else list(calling.callbacks)


def call_first(callback: Any) -> None:
    """From within a callback's hook: have its later hooks called before those of all others."""
    calling = _calling_list(callback)
    if calling is not None:
        calling.callbacks.remove(callback)
        calling.callbacks.insert(0, callback)  # the loop that is calling goes on with the same one


def call_last(callback: Any, last: Any) -> None:
    """From within a callback's hook: have that hook of another callback called after those of all others."""
    calling = _calling_list(callback)
    if calling is not None:
        calling.callbacks.append(last)  # a loop over a list reaches what is appended meanwhile


def on_error_of_callbacks(callback: Any, action: Callable[[], None]) -> None:
    """Have `action` called when any callback of the running `fit` raises, from its next hook on."""
    calling = _calling_list(callback)
    if calling is None:
        return
    for name in _HOOKS:
        setattr(calling, name, _guarded(getattr(calling, name), action))


def _guarded(hook: Callable[..., None], action: Callable[[], None]) -> Callable[..., None]:
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            hook(*args, **kwargs)
        except BaseException:
            action()
            raise

    return guarded


_HOOKS = tuple(
    f"on_{what}_{when}" for what in ("epoch", "train_batch", "test", "test_batch") for when in ("begin", "end")
)


def _calling_list(callback: Any) -> Any:
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and any(c is callback for c in caller.callbacks):
            return caller
        frame = frame.f_back
    return None


def backups_to_restore(callback: Any) -> tuple[tuple[str, ...], bool]:
    """The folders of the `BackupAndRestore`s beside a callback, and whether one of them has a backup in it.

    To be asked before training begins: a backup is there to be restored then, and again after the first epoch.
    """
    found = [c for c in callbacks_beside(callback) if isinstance(c, keras.callbacks.BackupAndRestore)]
    folders = tuple(str(backup.backup_dir) for backup in found)
    return folders, any(file_utils.exists(backup._training_metadata_path) for backup in found)
