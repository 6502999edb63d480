"""Which layers and weights of a model are trained, and training another part of it for a while.

Private names of Keras, checked on Keras 3.15.1: `Model._compiled_trainable_state`, by which Keras warns of a model that
was not compiled again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras

from onecycle.keras_support import step_state
from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.fit_scope import close_ended_fit
from onecycle.keras_support.interrupts import finish
from onecycle.keras_support.model_state import flattened_layers


class TrainableState:
    """The attribute `trainable` of every layer and weight of a model that is built."""

    def __init__(self, model: keras.Model) -> None:
        layers = flattened_layers(model)
        # A layer passes its value on to those inside it, so the outer ones come first.
        layers.sort(key=lambda layer: len(flattened_layers(layer)), reverse=True)
        self._layers = [(layer, bool(layer.trainable)) for layer in layers]
        self._variables = [(variable, bool(variable.trainable)) for variable in model.variables]

    def restore(self) -> None:
        """Give every layer and weight the value that it had."""
        for layer, trainable in self._layers:
            layer.trainable = trainable
        self.restore_variables()

    def restore_variables(self, only: Iterable[keras.Variable] | None = None) -> None:
        """Give weights the value that they had: all of them, or only some."""
        wanted = None if only is None else {id(variable) for variable in only}
        for variable, trainable in self._variables:
            if (wanted is None or id(variable) in wanted) and variable.trainable != trainable:
                variable.trainable = trainable


def freeze_all_but(model: keras.Model, kept: Sequence[keras.layers.Layer], found: TrainableState) -> None:
    """Freeze every weight of a model except those of some layers, which stay as they are.

    Args:
        model: The model.
        kept: The layers.
        found: The state of the model.
    """
    kept_ids = {id(inner) for layer in kept for inner in flattened_layers(layer)}
    for layer in flattened_layers(model):
        # A frozen layer trains nothing inside it, so the layers around a kept one are not frozen.
        if not kept_ids & {id(inner) for inner in flattened_layers(layer)}:
            layer.trainable = False
    for variable in model.variables:
        variable.trainable = False  # also the weights that a model has beside its layers
    found.restore_variables(variable for layer in kept for variable in layer.variables)


class BorrowedModel:
    """A model whose layers are frozen and whose optimizer is replaced for a while.

    Args:
        model: A compiled model that is built.

    Attributes:
        found: Which layers were trainable.
        optimizer: The model's own optimizer.
    """

    def __init__(self, model: keras.Model) -> None:
        close_ended_fit(model)
        step_state.write_back_state(model)  # of a `fit` that ended with an exception
        self._model = model
        self.found, self.optimizer = TrainableState(model), model.optimizer

    def begin(self, frozen: Sequence[keras.layers.Layer], optimizer: keras.optimizers.Optimizer) -> None:
        """Train with the layers as they were found, except for frozen ones, and with another optimizer."""
        self._reset()
        for layer in frozen:
            layer.trainable = False
        self._take(optimizer)

    def begin_with_only(self, kept: Sequence[keras.layers.Layer], optimizer: keras.optimizers.Optimizer) -> None:
        """Train some layers alone, with another optimizer."""
        self._reset()
        freeze_all_but(self._model, kept, self.found)
        self._take(optimizer)

    def give_back(self) -> None:
        """Give the model back as it was found, also in the middle of a `fit` that has ended. Ctrl-C is held back."""
        finish(self._give_back)

    def _give_back(self) -> None:
        self._reset()
        self._take(self.optimizer)

    def _reset(self) -> None:
        close_ended_fit(self._model)
        # On JAX, the values of the last step are matched to the variables by which of them are trainable.
        step_state.write_back_state(self._model)
        self.found.restore()

    def _take(self, optimizer: keras.optimizers.Optimizer) -> None:
        model = self._model
        set_untracked(
            model,
            optimizer=optimizer,
            # Compiled functions contain which variables are trained, and with what.
            train_function=None,
            test_function=None,
            predict_function=None,
        )
        if "_compiled_trainable_state" in vars(model):
            state = {layer: layer.trainable for layer in flattened_layers(model)}
            set_untracked(model, _compiled_trainable_state=state)
