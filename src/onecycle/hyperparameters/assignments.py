"""Values that a user's own callback assigns to an optimizer while schedules set them, which has no effect."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from onecycle.hyperparameters.installation import installed
from onecycle.hyperparameters.optimizer_traits import momentum_attributes
from onecycle.keras_support import backends
from onecycle.keras_support.optimizers import inner_optimizers, learning_rate_setting


class AssignmentCheck:
    """Notices that a scheduled hyperparameter was assigned another value.

    Between steps the optimizer has its original values. Assigning others to it has no effect on the steps.

    Args:
        optimizer: The optimizer, with or without schedules. None for that of a model which is not compiled.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer | None) -> None:
        self._optimizer = optimizer
        self._values = _values(optimizer)

    def check(self, name: str, others: Sequence[keras.callbacks.Callback]) -> None:
        """Check that the values are those from the beginning. Call it between steps only.

        Args:
            name: Class name of the callback that sets the values.
            others: The other callbacks, one of which may have assigned a value.

        Raises:
            ValueError: For the first value that has changed.
        """
        for (index, attribute), value in _values(self._optimizer).items():
            before = self._values.get((index, attribute), value)
            if value is not before and value != before:
                raise ValueError(
                    f"The {attribute} of the optimizer was set to {_text(value)} (it was {_text(before)}), which has "
                    f"no effect: {name} sets it in each step. {_suspects(others)} Keep one of them."
                )


def _values(optimizer: keras.optimizers.Optimizer | None) -> dict[tuple[int, str], object]:
    """Return (number of the inner optimizer, attribute) -> value, of what a cycle schedules."""
    found: dict[tuple[int, str], object] = {}
    for index, inner in enumerate(() if optimizer is None else inner_optimizers(optimizer)):
        setting = learning_rate_setting(inner)
        found[index, "learning rate"] = float(backends.to_numpy(setting)) if hasattr(setting, "assign") else setting
        installation = installed(inner)
        if installation is not None and "momentum" in installation.plan:
            found |= {(index, name): getattr(inner, name) for name in momentum_attributes(inner)}
    return found


def _suspects(others: Sequence[keras.callbacks.Callback]) -> str:
    """Return a sentence that names the callbacks which may have assigned a value."""
    own = [type(one).__name__ for one in others if type(one).__module__.split(".")[0] not in ("keras", "onecycle")]
    own += [type(one).__name__ for one in others if isinstance(one, keras.callbacks.LambdaCallback)]
    names = " or ".join(dict.fromkeys(own))
    return f"The callback {names} may have set it." if names else "A callback may have set it."


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
