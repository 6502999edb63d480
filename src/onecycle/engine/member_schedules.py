"""Hyperparameters as inputs of a compiled program, so that one program serves all members and later calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.engine.members import Member
from onecycle.hyperparameters.bias_correction import BiasCorrection
from onecycle.hyperparameters.installation import installed, installed_state, momentum_attributes, reinstate
from onecycle.hyperparameters.scheduling import schedule_hyperparameters
from onecycle.keras_support.attributes import set_quietly
from onecycle.keras_support.optimizers import inner_optimizers, raw_step

_DISTANT = 4096  # steps computed at a time of a schedule that knows only tensors


@dataclass(frozen=True)
class Rates:
    """What is fed to one member's steps.

    Attributes:
        learning_rates: (steps,) float32.
        momenta: (steps,) float32, or None where the optimizer keeps its own.
        products: For each inner optimizer the products of the betas so far (see `BiasCorrection`); may be empty.
    """

    learning_rates: NDArray[np.float32]
    momenta: NDArray[np.float32] | None
    products: tuple[NDArray[np.float32], ...] = ()


class Feed:
    """Two schedules whose values are handed in while a step is traced."""

    def __init__(self, momentum: bool) -> None:
        self.learning_rate, self.momentum = _Fed(), _Fed() if momentum else None

    def set(self, learning_rate: Any, momentum: Any) -> None:
        """Have the step that is traced next take these."""
        self.learning_rate.value = learning_rate
        if self.momentum is not None:
            self.momentum.value = momentum

    @contextmanager
    def installed(self, model: Any) -> Iterator[None]:
        """Let the model's optimizer read the feed for the length of the block."""
        with borrowed(model):
            schedule_hyperparameters(model, learning_rate=self.learning_rate, momentum=self.momentum)
            yield


def correct_by(model: Any, products: Sequence[Any]) -> None:
    """Have the optimizers that correct Adam's bias do so by these products, tensors in the order of `rates`."""
    for inner, own in zip(_corrected(model), products, strict=True):
        inner._correction = BiasCorrection(own)


def rates(model: Any, member: Member, steps: int, own_momentum: float | None) -> Rates:
    """Tabulate what a member's steps read.

    Args:
        own_momentum: Taken where the member has none of its own though others have; None where nobody has.
    """
    learning_rates = values(member.learning_rate, steps)
    if own_momentum is None:
        return Rates(learning_rates, None)
    momentum = own_momentum if member.momentum is None else member.momentum
    with borrowed(model):
        schedule_hyperparameters(model, momentum=from_step(momentum, raw_step(model.optimizer)))
        products = tuple(inner._correction.products.astype("float32") for inner in _corrected(model))
    return Rates(learning_rates, values(momentum, steps), products)


def values(value: Any, steps: int) -> NDArray[np.float32]:
    """(steps,) the values of a number or of a schedule from its own step 0 on."""
    if not callable(value):
        return np.full(steps, value, "float32")
    if hasattr(value, "values") and hasattr(value, "shifted"):
        return np.asarray(value.shifted(0).values(steps), "float32")
    found = [_of_tensors(value, first, min(_DISTANT, steps - first)) for first in range(0, steps, _DISTANT)]
    return np.concatenate(found)


def own_momentum(optimizer: Any, members: Sequence[Member]) -> float | None:
    """The momentum of members that have none of their own where others have; None where nobody has."""
    if all(member.momentum is None for member in members):
        return None
    inner = inner_optimizers(optimizer)[0]
    return float(getattr(inner, momentum_attributes(inner)[-1]))


def from_step(value: Any, first: int) -> Any:
    """A number as it is; a schedule so that its step 0 is the optimizer's step `first`."""
    if not callable(value):
        return float(value)
    return value.shifted(first) if hasattr(value, "shifted") else _Later(value, first) if first else value


def _of_tensors(schedule: Any, first: int, steps: int) -> NDArray[np.float32]:
    def one(step: Any) -> Any:
        return ops.cast(schedule(step), "float32")

    return np.asarray(ops.convert_to_numpy(ops.vectorized_map(one, ops.arange(first, first + steps, dtype="int32"))))


@contextmanager
def borrowed(model: Any) -> Iterator[None]:
    """Put back what is installed in the model's optimizers as the block ends; their counters must be back by then."""
    before = [(inner, installed_state(inner)) for inner in inner_optimizers(model.optimizer)]
    train_function = vars(model).get("train_function")
    try:
        yield
    finally:
        for inner, state in before:
            reinstate(inner, state)
        set_quietly(model, train_function=train_function)


def _corrected(model: Any) -> list[Any]:
    found = [installed(inner) for inner in inner_optimizers(model.optimizer)]
    return [one for one in found if one is not None and one._correction is not None]


class _Fed(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that answers with what it was given, whatever the step."""

    value: Any = None

    def __call__(self, step: Any) -> Any:
        return self.value

    def value_at(self, step: int) -> float:
        return 0.0  # asked only for a table of products that `correct_by` replaces


class _Later(keras.optimizers.schedules.LearningRateSchedule):
    """A Keras schedule that begins at a later step."""

    def __init__(self, schedule: Any, first: int) -> None:
        self._schedule, self._first = schedule, first

    def __call__(self, step: Any) -> Any:
        return self._schedule(ops.maximum(step - self._first, 0))
