"""A training step inside a compiled program, on a state handed in (JAX) or on the model's variables (TensorFlow)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from onecycle.keras_support import compilation
from onecycle.keras_support.loss_capture import losses_told
from onecycle.keras_support.model_state import updated_metrics


class State(NamedTuple):
    """What a training step takes and gives; of several members each leaf has them in front."""

    trainable: list[Any]
    non_trainable: list[Any]
    optimizer: list[Any]
    metrics: list[Any]
    alive: Any

    @classmethod
    def of(cls, model: Any) -> State:
        """The state that the model is in."""
        values = [[compilation.value(variable) for variable in group] for group in _groups(model)]
        return cls._make((*values, ops.convert_to_tensor(True)))

    def begun_as(self, model: Any) -> State:
        """The state with the variables of another model's layers; None for none."""
        if model is None:
            return self
        own = State.of(model)
        return self._replace(trainable=own.trainable, non_trainable=own.non_trainable)


def steps_of(model: Any) -> OnState | OnVariables:
    """How the backend's programs make the steps of this model."""
    return OnState(model) if compilation.are_functions() else OnVariables(model)


class OnState:
    """Steps as functions of the state, through Keras' stateless calls."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def enter(self, state: State) -> State:
        """What the program's loops carry in place of the state that it was called with."""
        return state

    def leave(self, state: State) -> State:
        """The whole state, from what the loops carried."""
        return state

    def with_metrics(self, state: State, metrics: Sequence[Any], where: Any = True) -> State:
        """The state with other values of the metrics' variables, where a condition holds."""
        return state._replace(metrics=_where(where, list(metrics), state.metrics))

    def train(self, state: State, batch: Any, *, keeps_metrics: bool, freezes: bool) -> tuple[State, Any]:
        """One step as Keras' own `train_step` on JAX does it, and the loss of its batch."""
        x, y, sample_weight = batch
        model = self._model
        (_, (loss, y_pred, non_trainable, metrics)), gradients = compilation.value_and_gradients(
            model.compute_loss_and_updates
        )(
            state.trainable,
            state.non_trainable,
            state.metrics,
            x,
            y,
            sample_weight,
            training=True,
            optimizer_variables=state.optimizer,
        )
        trainable, optimizer = model.optimizer.stateless_apply(state.optimizer, gradients, state.trainable)
        if keeps_metrics:
            metrics = updated_metrics(model, metrics, loss, x, y, y_pred, sample_weight)
        else:
            metrics = state.metrics
        new = State(list(trainable), list(non_trainable), list(optimizer), list(metrics), state.alive)
        if not freezes:
            return new, loss
        alive = ops.logical_and(state.alive, ops.isfinite(loss))
        kept = State._make((*(_where(alive, new[k], state[k]) for k in range(4)), alive))
        return kept, ops.where(state.alive, loss, float("nan"))

    def test(self, state: State, batch: Any) -> State:
        """One step of `evaluate`."""
        x, y, sample_weight = batch
        _, (loss, y_pred, non_trainable, metrics) = self._model.compute_loss_and_updates(
            state.trainable, state.non_trainable, state.metrics, x, y, sample_weight, training=False
        )
        metrics = updated_metrics(self._model, metrics, loss, x, y, y_pred, sample_weight)
        return state._replace(non_trainable=list(non_trainable), metrics=metrics)

    def report(self, state: State, names: Sequence[str]) -> Any:
        """(names,) what the metrics say."""
        with keras.StatelessScope(state_mapping=[*zip(self._model.metrics_variables, state.metrics, strict=True)]):
            return _said(self._model, names)


class OnVariables:
    """Steps that change the model's own variables: Keras' `train_step` and `test_step` themselves.

    The state is written into the variables as the program begins, and read from them as it ends.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def enter(self, state: State) -> State:
        for variables, values in zip(_groups(self._model), state[:4], strict=True):
            _assign(variables, values)
        return State([], [], [], [], state.alive)

    def leave(self, state: State) -> State:
        return State.of(self._model)._replace(alive=state.alive)

    def with_metrics(self, state: State, metrics: Sequence[Any], where: Any = True) -> State:
        variables = self._model.metrics_variables
        _assign(variables, _where(where, list(metrics), variables))
        return state

    def train(self, state: State, batch: Any, *, keeps_metrics: bool, freezes: bool) -> tuple[State, Any]:
        del keeps_metrics  # Keras' step keeps them
        if not freezes:
            return state, self._trained(batch)
        loss = ops.cond(state.alive, lambda: self._trained(batch), lambda: ops.convert_to_tensor(float("nan")))
        return state._replace(alive=ops.logical_and(state.alive, ops.isfinite(loss))), loss

    def test(self, state: State, batch: Any) -> State:
        self._model.test_step(batch)
        return state

    def report(self, state: State, names: Sequence[str]) -> Any:
        return _said(self._model, names)

    def _trained(self, batch: Any) -> Any:
        with losses_told(self._model) as losses:
            self._model.train_step(batch)
        return ops.cast(losses[-1], "float32")


def _groups(model: Any) -> tuple[list[Any], ...]:
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _where(condition: Any, yes: Sequence[Any], no: Sequence[Any]) -> list[Any]:
    if condition is True:
        return list(yes)
    return [ops.where(condition, one, other) for one, other in zip(yes, no, strict=True)]


def _said(model: Any, names: Sequence[str]) -> Any:
    found = model.get_metrics_result()
    return ops.stack([ops.cast(found[name], "float32") for name in names])
