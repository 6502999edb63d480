"""Attributes of Keras objects, set without the tracking of Keras and TensorFlow, and restored."""

from __future__ import annotations

from types import TracebackType
from typing import Self


def set_untracked(owner: object, **attributes: object) -> None:
    """Set attributes of an optimizer or model without the tracking of Keras (and TensorFlow).

    A tracked attribute becomes state: a variable in it would be one of the object's variables and break checkpoints.

    Args:
        owner: The optimizer or model.
        **attributes: The values by name.
    """
    vars(owner).update(attributes)


def unset_untracked(owner: object, *names: str) -> None:
    """Remove instance attributes, so that those of the class apply again. Missing ones are ignored."""
    for name in names:
        vars(owner).pop(name, None)


class AttributeOverride:
    """Instance attributes of a Keras object, replaced from `apply` until `undo`, or within a `with` block.

    Keep a reference to it before `apply`, so that what is replaced can be restored after an interrupt at any line.

    Args:
        owner: The model or optimizer.
        **attributes: The new values by name.
    """

    def __init__(self, owner: object, **attributes: object) -> None:
        self._owner = owner
        self._attributes = attributes
        self._before = {name: vars(owner)[name] for name in attributes if name in vars(owner)}

    def apply(self) -> None:
        """Set the new values."""
        set_untracked(self._owner, **self._attributes)

    def undo(self) -> None:
        """Restore the attributes, or remove those that did not exist before."""
        # In this order, so that an interrupt loses nothing and a second call does the rest.
        set_untracked(self._owner, **self._before)
        unset_untracked(self._owner, *[name for name in self._attributes if name not in self._before])

    def __enter__(self) -> Self:
        self.apply()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()
