"""How far a `fit` has read its data. Keras does not expose its iterator, so it is read from the call stack.

Private names of Keras, checked on Keras 3.15.1: the local variable `epoch_iterator` of `fit`, an `EpochIterator` of
`keras.src.trainers.epoch_iterator`, which returns its batches on PyTorch, and an iterator over them elsewhere.
"""

from __future__ import annotations

import inspect

import keras

from onecycle.keras_support.running_fit import fit_frames


def skip_epochs(model: keras.Model, epochs: int) -> None:
    """Read the data of some epochs of the model's running `fit`, as the training would, and discard it.

    Args:
        model: The model whose `fit` is running. No batch may have been read yet.
        epochs: How many.
    """
    frames = [frame for frame in fit_frames(inspect.currentframe()) if frame.f_locals["self"] is model]
    iterator = frames[0].f_locals["epoch_iterator"]
    for _ in range(epochs):
        with iterator.catch_stop_iteration():
            for *_, batches in iterator:
                if not isinstance(batches, list):
                    for _ in range(iterator.steps_per_execution):
                        next(batches)
