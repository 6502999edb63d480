"""Members trained by compiled programs on arrays in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

import keras
import numpy as np

from onecycle.engine.batch_order import BatchPlan
from onecycle.engine.block_inputs import BlockInputs, MemberGroup, all_members
from onecycle.engine.choice import EngineChoice
from onecycle.engine.engine_output import EngineOutput
from onecycle.engine.member_programs import MemberPrograms, ValidationSet
from onecycle.engine.members import Array, Member, Weights
from onecycle.engine.pace import Pace
from onecycle.engine.shared_arguments import SharedFitArguments
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import compilation, training_data
from onecycle.keras_support.random_state import draw_before_reading
from onecycle.keras_support.train_function import build_symbolically


class CompiledMembers:
    """The training of all members by compiled programs. The caller restores the model.

    Args:
        model: A model for which `reason_not_compiled` returns None.
        members: The members.
        arguments: The arguments of `fit`, with arrays as data.
        engine: `"vmap"` or `"scan"` to use this one, `"auto"` to choose the fastest.
    """

    def __init__(
        self, model: keras.Model, members: Sequence[Member], arguments: SharedFitArguments, engine: str = "auto"
    ) -> None:
        self._model, self._members, self._arguments, self._engine = model, members, arguments, engine
        data, validation = arguments.training_arrays(), arguments.validation_arrays()
        batch_size = arguments.array_batch_size
        self._plan = BatchPlan(training_data.count_rows(data), batch_size)
        first_batch = training_data.first_rows(data, batch_size)
        # The states of a program include the variables of the loss, the metrics and the optimizer.
        build_symbolically(model, first_batch)
        self._validation = None if validation is None else ValidationSet.of(validation, batch_size)
        self._inputs = BlockInputs(model, members, data, self._plan, arguments)
        self._programs = MemberPrograms(model, self._inputs, (data, validation), allow_slow=engine != "auto")

    def choose(self, time_fit: Callable[[], float]) -> EngineChoice:
        """Choose the engine for these members.

        Args:
            time_fit: Function that returns the seconds per step of `fit`.

        Raises:
            ValueError: If the requested program cannot be compiled.
        """
        return self._programs.choose(self._engine, len(self._members), time_fit)

    def train(self, *, vectorized: bool, weights: bool) -> EngineOutput:
        """Train all members.

        Args:
            vectorized: Whether to train all members at once or one after another.
            weights: Whether to return each member's weights.
        """
        count = len(self._members)
        groups = [all_members(count)] if vectorized else [MemberGroup((k,), vectorized=False) for k in range(count)]
        trained = [self._train_group(group) for group in groups]
        losses = np.concatenate([record.losses for record, _ in trained])
        metrics = np.concatenate([record.metrics for record, _ in trained])
        validation = np.concatenate([record.validation for record, _ in trained])
        final_weights: list[Weights] = []
        for group, (_, state) in zip(groups, trained, strict=True) if weights else ():
            final_weights += _final_weights(self._model, state, group)
        return EngineOutput(
            losses,
            _tables(self._programs.step_metrics, metrics) or {"loss": self._mean_losses(losses)},
            _tables(self._programs.metric_names, validation) if self._validation else {},
            tuple(final_weights) if weights else None,
            self._programs.compile_seconds,
        )

    def _train_group(self, group: MemberGroup) -> tuple[_GroupRecord, TrainingState]:
        """Train a group with short calls, block by block, and return its record and last state."""
        program, inputs = self._programs.training(group), self._inputs
        orders, state, record = inputs.row_orders(group), inputs.start_state(group), self._empty_record(group)
        evaluates_each_epoch = self._arguments.validation_freq == 1
        draw_before_reading(self._members[group.indices[0]].seed)
        first_step, pace = 0, Pace()
        while first_step < inputs.total_steps:
            # A call ends with its block at the latest, so that the members can be evaluated after it.
            block_end = min((first_step // inputs.steps_per_block + 1) * inputs.steps_per_block, inputs.total_steps)
            end = min(first_step + pace.steps, block_end)
            began = time.perf_counter()
            state, losses, metrics = program(*inputs.block(group, state, orders, first_step, end - first_step))
            record.add_block(self._plan, first_step, end, group.with_axis(losses), group.with_axis(metrics))
            pace.record(end - first_step, time.perf_counter() - began)
            if self._validation and (end == inputs.total_steps or (evaluates_each_epoch and end == block_end)):
                state, values = self._programs.evaluate(group, state, self._validation)
                record.add_validation(values)
            elif not np.isfinite(record.losses[:, end - 1]).any():
                break  # all members of the group have diverged
            first_step = end
        return record, state

    def _empty_record(self, group: MemberGroup) -> _GroupRecord:
        arguments, programs, members = self._arguments, self._programs, len(group.indices)
        return _GroupRecord(
            np.full((members, self._inputs.total_steps), np.nan),
            np.full((members, arguments.epochs, len(programs.step_metrics)), np.nan),
            np.full((members, arguments.evaluations, len(programs.metric_names)), np.nan),
        )

    def _mean_losses(self, losses: Array) -> Array:
        """Return (members, epochs) the mean loss over the rows of each epoch, as `fit` reports it."""
        sizes = self._plan.batch_sizes(self._plan.steps_per_epoch)
        by_epoch = losses.reshape(len(losses), self._arguments.epochs, self._plan.steps_per_epoch)
        return np.asarray((by_epoch * sizes).sum(axis=2) / self._plan.rows)


@dataclass
class _GroupRecord:
    """The values of a group's training so far. Missing ones are NaN.

    Attributes:
        losses: (members, steps).
        metrics: (members, epochs, metrics).
        validation: (members, evaluations, metrics).
        evaluations: Number of evaluations recorded.
    """

    losses: Array
    metrics: Array
    validation: Array
    evaluations: int = 0

    def add_block(self, plan: BatchPlan, first_step: int, end: int, losses: Array, metrics: Array) -> None:
        """Record a block or a part of one, whose last epochs may be padding.

        Args:
            plan: The division of an epoch into batches.
            first_step: First step of the block.
            end: Step after the block.
            losses: (members, steps) output of the program.
            metrics: (members, epochs, metrics) output of the program.
        """
        self.losses[:, first_step:end] = losses[:, : end - first_step]
        first_epoch, end_epoch = first_step // plan.steps_per_epoch, end // plan.steps_per_epoch
        self.metrics[:, first_epoch:end_epoch] = metrics[:, : end_epoch - first_epoch]

    def add_validation(self, values: Array) -> None:
        """Record (members, metrics) the result of an evaluation."""
        self.validation[:, self.evaluations] = values
        self.evaluations += 1


def _tables(names: Sequence[str], values: Array) -> dict[str, Array]:
    """Return (members, columns, metrics) as one table for each metric."""
    return {name: values[..., k] for k, name in enumerate(names)}


def _final_weights(model: keras.Model, state: TrainingState, group: MemberGroup) -> list[Weights]:
    """Return `model.get_weights()` of each member of a group, after what `fit` does when it ends."""
    # On the host, since one member after another is assigned to the model.
    states = keras.tree.map_structure(group.with_axis, compilation.to_host(state))
    return [_weights_of(model, keras.tree.map_structure(itemgetter(k), states)) for k in range(len(group.indices))]


def _weights_of(model: keras.Model, state: TrainingState) -> Weights:
    groups = (
        (model.trainable_variables, state.trainable),
        (model.non_trainable_variables, state.non_trainable),
        (model.optimizer.variables, state.optimizer),
    )
    for variables, values in groups:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    model.optimizer.finalize_variable_values(model.trainable_weights)  # writes moving averages into the weights
    return list(model.get_weights())
