"""The other arguments of Keras' `fit` that `fit_one_cycle` passes on."""

from __future__ import annotations

from typing import TypedDict


class FitArguments(TypedDict, total=False):
    """Arguments of `fit` that are no parameters of `fit_one_cycle`; see `keras.Model.fit`."""

    validation_split: float
    shuffle: bool
    initial_epoch: int
    steps_per_epoch: int | None
    validation_steps: int | None
    validation_batch_size: int | None
    validation_freq: int
