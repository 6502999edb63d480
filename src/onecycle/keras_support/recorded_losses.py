"""The losses of a running `fit` that are recorded inside the compiled step, where Keras' logs do not tell them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support import backends
from onecycle.keras_support.loss_capture import LossRecorder

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

_NAMES = {"x": "inputs", "y": "targets", "sample_weight": "sample weights"}


class RecordedLosses:
    """Losses, and on TensorFlow facts of the batches, recorded from the start of a `fit` or from a step within it.

    Args:
        model: The model whose `fit` runs.
        capacity: Number of steps after which the losses have to be read.
        active: Whether to record from the start.
    """

    def __init__(self, model: keras.Model, capacity: int, *, active: bool) -> None:
        self._model, self._capacity = model, capacity
        self._recorder = self._new_recorder() if active else None
        self._count, self._marks = 0, [0, 0]  # the marks: rows recorded when the last two states were kept

    @property
    def active(self) -> bool:
        """Whether losses are recorded."""
        return self._recorder is not None

    @property
    def has_facts(self) -> bool:
        """Whether bad values in batches are recorded."""
        return self._recorder is not None and self._recorder.has_facts

    def attach(self) -> None:
        """Begin to record, if active."""
        if self._recorder is not None:
            self._recorder.attach()

    def detach(self) -> None:
        """Leave the model as it was."""
        if self._recorder is not None:
            self._recorder.detach()

    def start(self) -> None:
        """Record from now on. The step has to be traced again."""
        if self._recorder is None:
            self._recorder, self._count = self._new_recorder(), 0
            self._recorder.attach()

    def recording(self, function: Callable[..., Nested]) -> Callable[..., Nested]:
        """Return the training function so that its steps are recorded."""
        recorder = self._recorder
        if recorder is None:
            return function

        def recorded(*args: Nested) -> Nested:
            recorder.recording = True
            try:
                return function(*args)
            finally:
                recorder.recording = False

        return recorded

    def new(self, result: Nested) -> list[float]:
        """Return the losses since the last call, for what the training function has just returned."""
        assert self._recorder is not None
        losses = self._recorder.read(result)
        new = losses[self._count :]
        self._count = len(losses)
        return new

    def mark(self) -> None:
        """Remember that a state was kept now."""
        self._marks = [self._marks[-1], self._count]

    def forget(self) -> None:
        """Look at no batch before this one any more."""
        self._marks = [self._count] * 2

    def bad_batch(self) -> str | None:
        """Return what is wrong with a batch since the last but one state was kept, where that is recorded."""
        if self._recorder is None or not self._recorder.has_facts:
            return None
        facts = self._recorder.facts(self._count)
        for argument, counts in facts.bad_values.items():
            if (counts[self._marks[0] :] > 0).any():
                return f"a batch has NaN or infinite values in its {_NAMES[argument]}"
        return None

    def _new_recorder(self) -> LossRecorder:
        # Elsewhere than on TensorFlow, the batches themselves can be examined.
        return LossRecorder(self._model, self._capacity, facts=backends.name() == "tensorflow", required=False)
