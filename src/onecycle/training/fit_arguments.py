"""The arguments of Keras' `fit` that `fit_one_cycle` passes on, and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import keras

from onecycle.keras_support import model_checks, training_data
from onecycle.keras_support.data_checks import check_validation_data
from onecycle.keras_support.data_sharding import check_all_batches
from onecycle.keras_support.types import Nested
from onecycle.suggestions.arguments import check_integer, check_number, described

_COUNTS = ("steps_per_epoch", "validation_steps", "validation_batch_size")


class FitArguments(TypedDict, total=False):
    """Arguments of `fit` that are no parameters of `fit_one_cycle`; see `keras.Model.fit`."""

    validation_split: float
    shuffle: bool
    initial_epoch: int
    steps_per_epoch: int | None
    validation_steps: int | None
    validation_batch_size: int | None
    validation_freq: int


def check_data_and_length(
    model: keras.Model,
    x: Nested,
    y: Nested,
    *,
    epochs: int,
    validation_data: Nested,
    arguments: FitArguments,
    batch_size: int | None,
    sample_weight: Nested,
    class_weight: dict[int, float] | None,
) -> None:
    """Check the data, the epochs and the other arguments of a `fit`. Nothing is read.

    Args:
        model: The model.
        x: Training data.
        y: Targets, or None.
        epochs: Number of epochs.
        validation_data: As in `fit`.
        arguments: The other arguments.
        batch_size: As in `fit`.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.

    Raises:
        TypeError, ValueError: For the first argument that is invalid.
    """
    model_checks.check_processes()
    training_data.check_data(model, x, y, batch_size=batch_size, sample_weight=sample_weight, class_weight=class_weight)
    check_validation_data(model, validation_data, arguments.get("validation_batch_size") or batch_size)
    check_integer("epochs", epochs)
    check_fit_arguments(arguments, x=x, epochs=epochs, validation_data=validation_data)
    check_even_batches(arguments, x=x, batch_size=batch_size, validation_data=validation_data)


def check_fit_arguments(arguments: Mapping[str, object], *, x: Nested, epochs: int, validation_data: Nested) -> None:
    """Check the arguments that Keras uses only after some training, or with another meaning than they seem to have.

    Args:
        arguments: The arguments, `FitArguments`.
        x: The training data.
        epochs: Number of epochs.
        validation_data: As in `fit`.

    Raises:
        TypeError, ValueError: For the first argument that is invalid.
    """
    _check_split(arguments.get("validation_split", 0.0), x, validation_data)
    initial_epoch = check_integer("initial_epoch", arguments.get("initial_epoch", 0), minimum=0)
    if initial_epoch >= epochs:
        raise ValueError(
            "Argument `initial_epoch` must be < `epochs`, which counts the epochs of an earlier `fit` too. "
            f"Received: initial_epoch={initial_epoch}, epochs={epochs}"
        )
    for name in _COUNTS:
        if arguments.get(name) is not None:
            check_integer(name, arguments[name])
    frequency = arguments.get("validation_freq", 1)
    for value in frequency if isinstance(frequency, list | tuple | set) else [frequency]:
        check_integer("validation_freq", value)
    shuffle = arguments.get("shuffle", True)
    if shuffle not in (True, False) and shuffle != "batch":
        raise ValueError(f"Argument `shuffle` must be True or False. Received: shuffle={described(shuffle)}")


def check_even_batches(arguments: FitArguments, *, x: Nested, batch_size: int | None, validation_data: Nested) -> None:
    """Check that arrays can be split evenly among the devices of a `keras.distribution`, which `fit` requires.

    Args:
        arguments: Other arguments of `fit`, checked.
        x: The training data.
        batch_size: As in `fit`.
        validation_data: As in `fit`.

    Raises:
        ValueError: If one of the batches cannot.
    """
    if not training_data.is_arrays(x):
        return
    split = split_of_fit(arguments, validation_data)
    rows = training_data.count_rows(x)
    trained = int(rows * (1 - split))
    # With `steps_per_epoch`, the training may end before the last batch.
    if not arguments.get("steps_per_epoch"):
        check_all_batches("x", trained, batch_size)
    check_all_batches("validation_split", rows - trained, arguments.get("validation_batch_size") or batch_size)


def split_of_fit(arguments: FitArguments, validation_data: Nested) -> float:
    """Return the share of the rows that `fit` splits off for validation, which it ignores beside `validation_data`."""
    return (arguments.get("validation_split") or 0.0) if validation_data is None else 0.0


def trained_part(
    x: Nested, y: Nested, sample_weight: Nested, batch_size: int | None, split: float, arguments: FitArguments
) -> dict[str, Nested]:
    """Return the data on which `fit` trains, without what it splits off, and the size of its batches, by argument.

    Args:
        x: Training data.
        y: Targets, or None.
        sample_weight: Weights of the rows, or None.
        batch_size: As in `fit`.
        split: Share of the rows that is split off; see `split_of_fit`.
        arguments: Other arguments of `fit`.
    """
    if not training_data.is_arrays(x):
        return {"x": x, "y": y, "sample_weight": sample_weight, "batch_size": batch_size}
    x, y, sample_weight = training_data.without_validation_split((x, y, sample_weight), split)
    size = training_data.batch_size_of_fit(x, batch_size, arguments.get("steps_per_epoch"))
    return {"x": x, "y": y, "sample_weight": sample_weight, "batch_size": size}


def checked_callbacks(callbacks: object) -> list[keras.callbacks.Callback]:
    """Return the argument `callbacks` of `fit` as a list.

    Args:
        callbacks: A callback, or a nested list of callbacks, or None.

    Raises:
        TypeError: If one of them is no callback.
    """
    flat = [] if callbacks is None else keras.tree.flatten(callbacks)
    for callback in flat:
        if not isinstance(callback, keras.callbacks.Callback):
            is_class = isinstance(callback, type) and issubclass(callback, keras.callbacks.Callback)
            raise TypeError(
                "Argument `callbacks` must be a list of keras callbacks. "
                f"Received: {described(callback)}{'. Pass an instance of the class.' if is_class else ''}"
            )
    return flat


def _check_split(split: object, x: Nested, validation_data: Nested) -> None:
    if split is None:  # as in Keras
        return
    fraction = check_number("validation_split", split, minimum=0.0)
    if fraction >= 1:
        raise ValueError(f"Argument `validation_split` must be < 1. Received: validation_split={fraction:g}")
    # Beside `validation_data` Keras ignores the split.
    if not fraction or validation_data is not None:
        return
    if not training_data.is_arrays(x):
        raise ValueError(
            "Argument `validation_split` is for arrays. Pass `validation_data` beside a data set. "
            f"Received: validation_split={fraction:g}, x of type {type(x).__name__}"
        )
    rows = training_data.count_rows(x)
    if not 0 < int(rows * (1 - fraction)) < rows:
        raise ValueError(
            "Argument `validation_split` must leave rows for training and for validation. "
            f"Received: validation_split={fraction:g} for {rows} rows"
        )
