"""A `fit` that is paused at a step and goes on from there later, in another call of `fit`.

A pause ends `fit` with an exception. The next call begins with the epoch of the pause: the random generators and the
data get the state that they had at its beginning, so that the same batches come again, and the batches up to the pause
are read without training on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import keras

from onecycle.keras_support import backends, step_state
from onecycle.keras_support.data_adapters import is_arrays
from onecycle.keras_support.data_state import DataSnapshot
from onecycle.keras_support.portable_pause import PortableData, PortableRandom, PortableVariables
from onecycle.keras_support.random_state import random_states
from onecycle.keras_support.snapshot import RandomSnapshot, StateSnapshot
from onecycle.keras_support.types import Nested


class Paused(BaseException):
    """Ends a `fit` that will go on later. Not an Exception, so that no code of the user's catches it."""


class Restorable(Protocol):
    """A state that can be restored."""

    def restore(self) -> None:
        """Restore the state."""


class RestorableVariables(Protocol):
    """The state of a model."""

    def restore(self, *, metrics: bool = True) -> None:
        """Restore the state.

        Args:
            metrics: Whether to restore the variables of metrics too.
        """


@dataclass(frozen=True)
class EpochStart:
    """The states of the random generators and of the data when an epoch began.

    Attributes:
        random: The random generators.
        data: The data.
    """

    random: Restorable
    data: Restorable

    @classmethod
    def now(cls, data: Nested, *, portable: bool = False) -> EpochStart:
        """Return the current states.

        Args:
            data: The data, as `fit` takes it, also nested.
            portable: Whether the states can be saved in a file.
        """
        if portable:
            return cls(PortableRandom.now(), PortableData.now(data))
        return cls(RandomSnapshot(), DataSnapshot(data))

    def restore(self) -> None:
        """Restore the states."""
        self.data.restore()
        self.random.restore()


@dataclass(frozen=True)
class PausedFit:
    """A training that is paused.

    Attributes:
        epoch: The epoch that goes on, counted from 0.
        batches: Batches of this epoch that were trained on.
        epoch_start: The states when this epoch began.
        variables: The state of the model.
        random: The random generators at the pause.
    """

    epoch: int
    batches: int
    epoch_start: EpochStart
    variables: RestorableVariables
    random: Restorable

    @classmethod
    def now(
        cls, model: keras.Model, epoch: int, batches: int, epoch_start: EpochStart, *, portable: bool = False
    ) -> PausedFit:
        """Return the state of a `fit` that is running, within one of its hooks.

        Args:
            model: The model.
            epoch: The running epoch.
            batches: Batches of it that were trained on.
            epoch_start: The states when it began.
            portable: Whether the states can be saved in a file.
        """
        step_state.write_back_state(model)
        if portable:
            return cls(epoch, batches, epoch_start, PortableVariables.now(model), PortableRandom.now())
        return cls(epoch, batches, epoch_start, StateSnapshot(model), RandomSnapshot())


def can_repeat_epoch(x: Nested, *, shuffle: bool) -> bool:
    """Return whether data yields the same batches again once the random generators and its own state are restored.

    `tf.data` draws from generators that cannot be read. It also shuffles arrays on TensorFlow, by a seed of its own if
    there is no global one. The workers of a `PyDataset` read ahead, into the next epoch too.

    Args:
        x: The data, as `fit` takes it.
        shuffle: The argument of `fit`.
    """
    if not is_arrays(x):
        reads_ahead = isinstance(x, keras.utils.PyDataset) and (x.workers > 1 or x.use_multiprocessing)
        return not type(x).__module__.startswith("tensorflow") and not reads_ahead
    return backends.name() != "tensorflow" or not shuffle or random_states()["tensorflow"][0] is not None


class BatchSkipper:
    """Lets the running `fit` read batches without training on them.

    Args:
        model: The model.
        batches: Number of batches.
        then: Called after the last of them.
    """

    def __init__(self, model: keras.Model, batches: int, then: Callable[[], None]) -> None:
        self._model, self._left, self._then = model, batches, then
        self._train_function = model.train_function
        model.train_function = self._skip

    @property
    def is_skipping(self) -> bool:
        """Whether the running step is skipped."""
        return self._left > 0

    def end_batch(self) -> None:
        """Count the batches of a step, in `on_train_batch_end`."""
        self._left -= self._model.steps_per_execution
        if self._left <= 0:
            self.close()
            self._then()

    def close(self) -> None:
        """Let the model train again."""
        if self._model.train_function == self._skip:
            self._model.train_function = self._train_function

    def _skip(self, *arguments: Nested) -> Nested:
        source = arguments[-1]
        # Some backends pass an iterator, others the batches themselves.
        if not isinstance(source, list | tuple):
            for _ in range(self._model.steps_per_execution):
                next(source)
        return ({}, arguments[0]) if backends.is_functional() else {}
