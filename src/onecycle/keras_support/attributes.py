"""Attributes of Keras objects, set past the tracking of Keras and TensorFlow, and put back."""

from __future__ import annotations

from types import TracebackType
from typing import Self


def set_untracked(owner: object, **attributes: object) -> None:
    """Set attributes of an optimizer or model past Keras' (and TensorFlow's) attribute tracking.

    A tracked attribute becomes state: it would be counted among the variables and break checkpoints.
    """
    vars(owner).update(attributes)


def unset_untracked(owner: object, *names: str) -> None:
    """Remove instance attributes, so that those of the class are used again; missing ones are no error."""
    for name in names:
        vars(owner).pop(name, None)


class AttributeOverride:
    """Instance attributes of a Keras object replaced until `undo`, or for the length of a `with` block.

    Args:
        owner: The model or optimizer.
        **attributes: The new values by name.
    """

    def __init__(self, owner: object, **attributes: object) -> None:
        self._owner = owner
        self._names = tuple(attributes)
        self._before = {name: vars(owner)[name] for name in attributes if name in vars(owner)}
        set_untracked(owner, **attributes)

    def undo(self) -> None:
        """Put back what the attributes were, or remove them where there were none."""
        unset_untracked(self._owner, *self._names)
        set_untracked(self._owner, **self._before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()
