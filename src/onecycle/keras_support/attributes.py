"""What onecycle needs of Keras that Keras does not offer publicly, all of it in one room.

Checked on Keras 3.15.1. `tests/keras/test_keras_internals*.py` fail when one of these names changes its meaning.
"""

from __future__ import annotations

from typing import Any


def set_quietly(thing: Any, **attributes: Any) -> None:
    """Set attributes on an optimizer or model past Keras' (and TensorFlow's) attribute tracking.

    What is tracked becomes state: it would be counted among the variables and break checkpoints.
    """
    vars(thing).update(attributes)


def unset_quietly(thing: Any, *names: str) -> None:
    """Remove instance attributes, so that those of the class are seen again; missing ones are no error."""
    for name in names:
        vars(thing).pop(name, None)
