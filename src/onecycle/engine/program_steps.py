"""A training step inside a compiled program: on a state passed in (JAX) or on the model's variables (TensorFlow)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import keras
from keras import ops

from onecycle.engine.training_state import TrainingState, assign_all
from onecycle.keras_support import compilation
from onecycle.keras_support.loss_capture import captured_losses
from onecycle.keras_support.model_state import updated_metrics
from onecycle.keras_support.types import Nested

# (x, y, sample_weight), each an array or tensor, a nested structure of them, or None.
Data: TypeAlias = tuple[Nested, Nested, Nested]  # all rows
Batch: TypeAlias = tuple[Nested, Nested, Nested]  # the rows of one step


def training_steps(model: keras.Model) -> TrainingSteps:
    """Return the training steps of a model in the form that the backend's programs need."""
    return StatelessSteps(model) if compilation.takes_state() else VariableSteps(model)


class TrainingSteps(Protocol):
    """The training steps of a program, in the form that the backend needs."""

    def begin(self, state: TrainingState) -> TrainingState:
        """Return what the program's loops carry, given the state that the program was called with."""
        ...

    def finish(self, carried: TrainingState) -> TrainingState:
        """Return the whole state, given what the loops carried."""
        ...

    def assign_metrics(
        self, state: TrainingState, values: Sequence[keras.KerasTensor], condition: keras.KerasTensor | Literal[True]
    ) -> TrainingState:
        """Return the state with other values of the metrics' variables.

        Args:
            state: The state before.
            values: The new values of the variables.
            condition: Whether to assign them.
        """
        ...

    def train_step(
        self, state: TrainingState, batch: Batch, *, update_metrics: bool, freeze_diverged: bool
    ) -> tuple[TrainingState, keras.KerasTensor]:
        """Run one training step.

        Args:
            state: The state before the step.
            batch: The batch (x, y, sample_weight).
            update_metrics: Whether the metrics are needed.
            freeze_diverged: Whether a loss that is not finite stops all further changes to the state.

        Returns:
            The new state and the loss of the batch.
        """
        ...

    def test_step(self, state: TrainingState, batch: Batch) -> TrainingState:
        """Run one step of `evaluate`."""
        ...

    def metric_values(self, state: TrainingState, names: Sequence[str]) -> keras.KerasTensor:
        """Return (names,) the values of the metrics."""
        ...


class StatelessSteps(TrainingSteps):
    """Training steps as functions of the state (JAX and PyTorch)."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def begin(self, state: TrainingState) -> TrainingState:
        return state

    def finish(self, carried: TrainingState) -> TrainingState:
        return carried

    def assign_metrics(
        self, state: TrainingState, values: Sequence[keras.KerasTensor], condition: keras.KerasTensor | Literal[True]
    ) -> TrainingState:
        return state._replace(metrics=_select(condition, list(values), state.metrics))

    def train_step(
        self, state: TrainingState, batch: Batch, *, update_metrics: bool, freeze_diverged: bool
    ) -> tuple[TrainingState, keras.KerasTensor]:
        loss, new = self._updated(state, batch, update_metrics)
        if not freeze_diverged:
            return new, loss
        active = ops.logical_and(state.active, ops.isfinite(loss))
        # The step whose loss is not finite is undone as well.
        frozen = TrainingState._make((*(_select(active, new[k], state[k]) for k in range(4)), active, state.average))
        return frozen, ops.where(state.active, loss, float("nan"))

    def test_step(self, state: TrainingState, batch: Batch) -> TrainingState:
        x, y, sample_weight = batch
        loss, (y_pred, non_trainable, metrics) = compilation.loss_and_updates(
            self._model, state[:4], x, y, sample_weight, training=False
        )
        metrics = updated_metrics(self._model, metrics, loss, x, y, y_pred, sample_weight)
        return state._replace(non_trainable=list(non_trainable), metrics=metrics)

    def metric_values(self, state: TrainingState, names: Sequence[str]) -> keras.KerasTensor:
        with keras.StatelessScope(state_mapping=[*zip(self._model.metrics_variables, state.metrics, strict=True)]):
            return _metric_values(self._model, names)

    def _updated(
        self, state: TrainingState, batch: Batch, update_metrics: bool
    ) -> tuple[keras.KerasTensor, TrainingState]:
        x, y, sample_weight = batch
        model = self._model

        def loss_of(trainable: Sequence[keras.KerasTensor]) -> tuple[Nested, tuple[Nested, Nested, Nested]]:
            rest = (trainable, *state[1:4])
            return compilation.loss_and_updates(model, rest, x, y, sample_weight, training=True)

        (loss, (y_pred, non_trainable, metrics)), gradients = compilation.with_gradients(loss_of, state.trainable)
        # The same calls as in Keras' `train_step`, except that the metrics are updated only on request.
        trainable, optimizer = model.optimizer.stateless_apply(state.optimizer, gradients, state.trainable)
        if update_metrics:
            metrics = updated_metrics(model, metrics, loss, x, y, y_pred, sample_weight)
        else:
            metrics = state.metrics
        values = (list(group) for group in (trainable, non_trainable, optimizer, metrics))
        return loss, TrainingState._make((*values, state.active, state.average))


class VariableSteps(TrainingSteps):
    """Training steps that change the model's variables: Keras' `train_step` and `test_step` (TensorFlow).

    The program assigns the state to the variables when it begins and reads it back when it ends. In between, its
    loops carry only `active`.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def begin(self, state: TrainingState) -> TrainingState:
        state.assign_to(self._model)
        return TrainingState([], [], [], [], state.active)

    def finish(self, carried: TrainingState) -> TrainingState:
        return TrainingState.of(self._model)._replace(active=carried.active)

    def assign_metrics(
        self, state: TrainingState, values: Sequence[keras.KerasTensor], condition: keras.KerasTensor | Literal[True]
    ) -> TrainingState:
        variables = self._model.metrics_variables
        assign_all(variables, _select(condition, list(values), variables))
        return state

    def train_step(
        self, state: TrainingState, batch: Batch, *, update_metrics: bool, freeze_diverged: bool
    ) -> tuple[TrainingState, keras.KerasTensor]:
        del update_metrics  # Keras' `train_step` always updates them.
        if not freeze_diverged:
            return state, self._trained(batch)
        # A condition, because the step changes variables: its effect cannot be undone by selecting old values.
        loss = ops.cond(state.active, lambda: self._trained(batch), lambda: ops.convert_to_tensor(float("nan")))
        return state._replace(active=ops.logical_and(state.active, ops.isfinite(loss))), loss

    def test_step(self, state: TrainingState, batch: Batch) -> TrainingState:
        self._model.test_step(batch)
        return state

    def metric_values(self, state: TrainingState, names: Sequence[str]) -> keras.KerasTensor:
        return _metric_values(self._model, names)

    def _trained(self, batch: Batch) -> keras.KerasTensor:
        """Train on a batch and return its loss."""
        # `train_step` returns running means, so the loss of the batch is taken from `compute_loss`.
        with captured_losses(self._model) as losses:
            self._model.train_step(batch)
        return ops.cast(losses[-1], "float32")


def take_batch(data: Data, rows: keras.KerasTensor) -> Batch:
    """Return the rows of a batch.

    Args:
        data: The whole data.
        rows: (batch_size,) row numbers.
    """
    return keras.tree.map_structure(lambda array: None if array is None else compilation.take_rows(array, rows), data)


def written_variables(model: keras.Model) -> tuple[keras.Variable, ...]:
    """Return the variables of optimizer and metrics that a program writes to: none if it returns their values."""
    if compilation.takes_state():
        return ()
    return (*model.optimizer.variables, *model.metrics_variables)


def _select(
    condition: keras.KerasTensor | Literal[True],
    if_true: Sequence[keras.KerasTensor],
    if_false: Sequence[keras.KerasTensor | keras.Variable],
) -> list[keras.KerasTensor]:
    """Return the first values if the condition holds, else the second ones. A Python `True` adds no operation."""
    if condition is True:
        return list(if_true)
    return [ops.where(condition, one, other) for one, other in zip(if_true, if_false, strict=True)]


def _metric_values(model: keras.Model, names: Sequence[str]) -> keras.KerasTensor:
    values = model.get_metrics_result()
    return ops.stack([ops.cast(values[name], "float32") for name in names])
