"""The state of a model that is training, which Keras keeps outside its variables on JAX and PyTorch.

Private names of Keras, checked on Keras 3.15.1: `Model._jax_state`, `Model._jax_state_synced` and
`Model._get_jax_state`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import keras
from numpy.typing import NDArray

from onecycle.keras_support import backends

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

# JAX on a CPU computes up to 32 steps in the background. More results would take memory that the steps could use again.
STEPS_IN_BACKGROUND = 32

# The state of a training step on JAX, in the order in which the step takes and returns it.
_JAX_STATE = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")


def torch_state(model: keras.Model) -> list[tuple[object, str, object]]:
    """Return what training changes on PyTorch besides values: each module's `training` and each variable's `.grad`.

    Returns:
        Triples (object, attribute name, value); empty on the other backends.
    """
    if backends.name() != "torch":
        return []
    modes = [(module, "training", module.training) for module in model.modules()]
    return modes + [(variable.value, "grad", variable.value.grad) for variable in model.variables]


def set_torch_state(state: list[tuple[object, str, object]]) -> None:
    """Restore what `torch_state` returned."""
    for owner, attribute, value in state:
        setattr(owner, attribute, value)


def variable_after_step(model: keras.Model, variable: keras.Variable, result: Nested) -> NDArray[Any]:
    """Return a variable's value after a call of `model.train_function`.

    On JAX the newest state is in the result, and the variables themselves are empty while `fit` runs.

    Args:
        model: The model.
        variable: A non-trainable variable of the model, or a variable of its optimizer.
        result: What `model.train_function` returned, or None while `fit` is not running.

    Returns:
        The value on the host.
    """
    if backends.name() != "jax" or result is None:
        return backends.to_numpy(variable)
    # The result is (logs, state), with the state in the order of `_JAX_STATE`.
    _, non_trainable, optimizer, _ = result[1]
    known = [*zip(model.optimizer.variables, optimizer, strict=True)]
    known += zip(model.non_trainable_variables, non_trainable, strict=True)
    return keras.ops.convert_to_numpy(next(value for other, value in known if other is variable))


class StepQueue:
    """The steps that JAX may still compute in the background. On the other backends it stays empty.

    Waiting for the last of them inside JAX, Ctrl-C would be heard after all of them.
    """

    def __init__(self) -> None:
        self._is_used = backends.name() == "jax"
        self._logs: deque[Nested] = deque(maxlen=STEPS_IN_BACKGROUND)

    def add(self, result: Nested) -> None:
        """Add the step of which `model.train_function` has just returned the result."""
        if self._is_used:
            self._logs.append(result[0])

    def wait(self) -> None:
        """Wait for the steps one by one, so that an interrupt has to wait for one only."""
        if self._is_used:
            import jax

            for logs in self._logs:
                jax.block_until_ready(logs)
        self._logs.clear()


def current_weights(model: keras.Model) -> list[keras.KerasTensor]:
    """Return the values on the device of the trainable and then of the other variables, also while `fit` is running."""
    state = getattr(model, "_jax_state", None) if backends.name() == "jax" and not model._jax_state_synced else None
    if state is not None:
        return [*state["trainable_variables"], *state["non_trainable_variables"]]
    return [variable.value for variable in (*model.trainable_variables, *model.non_trainable_variables)]


def write_back_state(model: keras.Model, result: Nested = None) -> None:
    """Write JAX's newest state into the variables, so that they can be read and assigned.

    Args:
        model: The model.
        result: What `model.train_function` has just returned. Defaults to the state that `fit` has stored.
    """
    if backends.name() != "jax":
        return
    if result is not None:
        model._jax_state = dict(zip(_JAX_STATE, result[1], strict=True))
        model._jax_state_synced = False  # otherwise the next line does nothing
    model.jax_state_sync()


def discard_state(model: keras.Model) -> None:
    """Keep `fit` on JAX from writing its state into the variables after an exception has left it incomplete."""
    if backends.name() == "jax":
        model._jax_state_synced = True


def result_with_state(model: keras.Model, result: Nested) -> Nested:
    """Return the result of `model.train_function`, on JAX with the state that the model's variables now have."""
    if backends.name() != "jax":
        return result
    logs, _ = result
    return logs, model._get_jax_state(**dict.fromkeys(_JAX_STATE, True))
