"""The start of a `fit`, up to its first step: it builds the model and shows what `fit` refuses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support import backends
from onecycle.keras_support.data_adapters import first_batch_of_fit
from onecycle.keras_support.data_checks import batches_required, no_batch_message
from onecycle.keras_support.data_state import DataSnapshot
from onecycle.keras_support.model_checks import check_loss, check_trainable
from onecycle.keras_support.model_state import flattened_layers, loss_and_metrics
from onecycle.keras_support.running_fit import without_data_warnings
from onecycle.keras_support.snapshot import RandomSnapshot, preserving
from onecycle.keras_support.train_function import build_symbolically, has_unbuilt_parts
from onecycle.keras_support.training_data import has_own_fit, is_one_shot

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def build_model(model: keras.Model, x: Nested, y: Nested = None, **arguments: Nested) -> None:
    """Create the weights of a model that has none yet, as `fit` does, and check that it can be trained.

    Args:
        model: The model.
        x: The data.
        y: Targets, or None.
        **arguments: Other arguments of `fit`.

    Raises:
        ValueError: If the data is a generator, which would lose its first batch; if the model has no trainable weights
            or no loss; or what `fit` raises.
    """
    if not is_built(model):
        _create_weights(model, x, y, arguments)
    check_built_model(model, x, arguments.get("batch_size"))


def check_built_model(model: keras.Model, x: Nested, batch_size: int | None) -> None:
    """Check that a model has trainable weights and, if it is built, a loss.

    Args:
        model: The model.
        x: The data, of which a batch is read if the model is compiled without a loss.
        batch_size: Rows per batch, or None for the default.

    Raises:
        ValueError: If it has none.
    """
    check_trainable(model)
    # A model that overrides `fit` may not take the data as it is.
    cannot_read = is_one_shot(x) or has_own_fit(model)

    def inputs() -> Nested:
        return first_batch_of_fit(x, batch_size)[0]

    if loss_and_metrics(model)[0] is None:
        # The model is called, which moves its random generators, and the data is read.
        preserving(model, lambda: check_loss(model, None if cannot_read else inputs), data=x)


def start_fit(model: keras.Model, x: Nested, y: Nested = None, **arguments: Nested) -> None:
    """Let `fit` prepare the training, and stop it before its first step. What Keras refuses, it refuses here.

    Only weights that are created remain; everything else is restored.

    Args:
        model: A compiled model.
        x: The data, not a generator.
        y: Targets, or None.
        **arguments: Other arguments of `fit`.

    Raises:
        ValueError, TypeError: Whatever `fit` raises.
    """

    def run() -> None:
        with without_data_warnings(), batches_required(x), suppress(_Started):
            model.fit(x, y, verbose=0, callbacks=[_StopBeforeTraining()], **arguments)

    preserving(model, run, data=(x, arguments.get("validation_data")), keep_weights=not is_built(model))


def build_metrics(
    model: keras.Model, x: Nested, y: Nested, batch_size: int | None, *, shuffle: bool, **weights: Nested
) -> None:
    """Create the variables of metrics, which `fit` creates when it begins or, on TensorFlow, in its first step.

    On JAX and PyTorch, `fit` reads a batch for this, and so draws an order of the rows that it does not use. The same
    is drawn here, so that a training has the same batches with and without this call before it. A model that cannot be
    called with symbolic inputs is left as it is.

    Args:
        model: A compiled model that has its weights.
        x: The data, not a generator.
        y: Targets, or None.
        batch_size: Rows per batch of arrays, or None for the default.
        shuffle: As in `fit`.
        **weights: `sample_weight` and `class_weight`, as in `fit`.
    """
    if not has_unbuilt_parts(model):
        return
    in_step = backends.name() == "tensorflow"
    random, data = RandomSnapshot(), DataSnapshot(x)
    try:
        with without_data_warnings():
            batch = first_batch_of_fit(x, batch_size, y, **weights, shuffle=shuffle and not in_step)
        build_symbolically(model, batch)
    except Exception:  # noqa: BLE001  # whatever the code of the model raises; `fit` may still train it
        pass
    finally:
        if in_step:
            data.restore()
            random.restore()


def is_built(model: keras.Model) -> bool:
    """Return whether all layers of a model have their weights."""
    return all(layer.built for layer in flattened_layers(model))


class _Started(BaseException):
    """Ends a `fit` that has prepared its training. Not an Exception, so that no code of the user's catches it."""


class _StopBeforeTraining(keras.callbacks.Callback):
    """Ends `fit` when it has built the model. On TensorFlow, the first step does that, so its batch is used instead."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if is_built(self.model) or keras.backend.backend() != "tensorflow":
            raise _Started
        self.model.train_function = self._build

    def _build(self, iterator: Nested) -> None:
        batch = next(iterator, None)
        if batch is None:  # the end of the data would end only the epoch
            raise ValueError(no_batch_message("x"))
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        self.model(x)
        raise _Started


def _create_weights(model: keras.Model, x: Nested, y: Nested, arguments: Mapping[str, Nested]) -> None:
    if is_one_shot(x):
        raise ValueError(
            "The model has no weights yet and the data is a generator, which would lose its first batch in creating "
            "them. Call the model on a batch of data first."
        )
    start_fit(model, x, y, **arguments)
