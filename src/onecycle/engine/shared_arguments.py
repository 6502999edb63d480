"""The arguments of `fit` that all members share."""

from __future__ import annotations

from dataclasses import dataclass, fields

import keras

from onecycle.keras_support import training_data
from onecycle.keras_support.train_function import training_arrays
from onecycle.keras_support.types import Nested


@dataclass(frozen=True, eq=False)
class SharedFitArguments:
    """The arguments of `fit` that all members share.

    Attributes:
        x: Training data.
        y: Targets, or None.
        batch_size: Rows per batch, or None for the default of `fit`.
        sample_weight: Weights of the rows, or None.
        class_weight: Class -> weight, or None.
        validation_data: Data of the evaluations, or None.
        validation_freq: Number of epochs between evaluations: 1, or the number of epochs.
        epochs: Number of epochs.
        shuffle: Whether to shuffle the rows.
    """

    x: Nested
    y: Nested
    batch_size: int | None
    sample_weight: Nested
    class_weight: dict[int, float] | None
    validation_data: Nested
    validation_freq: int
    epochs: int
    shuffle: bool

    def as_keywords(self) -> dict[str, object]:
        """Return the keyword arguments of `fit`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def array_batch_size(self) -> int:
        """Rows per batch if the data consists of arrays."""
        return self.batch_size or training_data.DEFAULT_BATCH_SIZE

    @property
    def evaluations(self) -> int:
        """Number of evaluations of each run if there is validation data."""
        return self.epochs // self.validation_freq

    @property
    def total_steps(self) -> int | None:
        """Number of training steps of each run, or None if the length of the data is unknown."""
        steps = training_data.steps_per_epoch(self.x, self.batch_size)
        return None if steps is None else steps * self.epochs

    def training_arrays(self) -> tuple[Nested, Nested, Nested]:
        """Return the training data as arrays (x, y, sample_weight), with the class weights applied."""
        return training_arrays(self.x, self.y, self.sample_weight, self.class_weight)

    def validation_arrays(self) -> tuple[Nested, Nested, Nested] | None:
        """Return the validation data as arrays (x, y, sample_weight), or None."""
        if self.validation_data is None:
            return None
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(self.validation_data)
        return training_arrays(x, y, sample_weight, None)
