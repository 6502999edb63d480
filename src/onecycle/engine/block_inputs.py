"""The arguments of training programs: start states, schedules and row orders of the members, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from onecycle.engine.averaging import with_average
from onecycle.engine.batch_order import BatchPlan, FixedRows, RowOrder
from onecycle.engine.member_schedules import TabulatedSchedules, default_momentum, tabulate_schedules
from onecycle.engine.members import Member
from onecycle.engine.program_steps import Data
from onecycle.engine.shared_arguments import SharedFitArguments
from onecycle.engine.training_program import BlockArguments, StepInputs
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import compilation

# A block has at least this many steps if it may have several epochs. Each call costs a tenth of a millisecond.
MIN_BLOCK_STEPS = 256

A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True)
class MemberGroup:
    """Members that one call of a program trains.

    Attributes:
        indices: Positions of the members.
        vectorized: Whether arrays have a leading axis of members. Without it the group has one member.
    """

    indices: tuple[int, ...]
    vectorized: bool

    @property
    def axis_length(self) -> int | None:
        """Length of the axis of members, or None without this axis."""
        return len(self.indices) if self.vectorized else None

    def with_axis(self, array: ArrayLike) -> NDArray[Any]:
        """Return a program's output as a NumPy array with a leading axis of members."""
        array = np.asarray(array)
        return array if self.vectorized else array[None]


SINGLE_MEMBER = MemberGroup((0,), vectorized=False)


def all_members(count: int) -> MemberGroup:
    """Return the group of all members, to be trained at once."""
    return MemberGroup(tuple(range(count)), vectorized=True)


class BlockInputs:
    """Makes the arguments of training programs. A block is a fixed number of whole epochs.

    Args:
        model: A model whose metrics and optimizer are built.
        members: The members.
        data: Training data as arrays (x, y, sample_weight).
        plan: The division of an epoch into batches.
        arguments: The arguments of `fit`.
        average_rates: (steps,) what `averaging.average_rates` returned for all steps. None if no average is kept.

    Attributes:
        plan: The division of an epoch into batches.
        total_steps: Number of training steps of each member.
        epochs_per_block: Number of epochs in a block.
        initial_metrics: Values of the metrics' variables at the start of an epoch.
    """

    def __init__(
        self,
        model: keras.Model,
        members: Sequence[Member],
        data: Data,
        plan: BatchPlan,
        arguments: SharedFitArguments,
        average_rates: NDArray[np.float32] | None = None,
    ) -> None:
        self._model, self._members, self._shuffle = model, members, arguments.shuffle
        self.plan = plan
        self.total_steps = arguments.epochs * plan.steps_per_epoch
        # An evaluation can only take place between two blocks.
        evaluates_each_epoch = arguments.validation_data is not None and arguments.validation_freq == 1
        self.epochs_per_block = 1 if evaluates_each_epoch else -(-MIN_BLOCK_STEPS // plan.steps_per_epoch)
        self._data, self._average_rates = compilation.to_device(data), average_rates
        self.read_start()
        momentum = default_momentum(model.optimizer, members)
        self._schedules = [tabulate_schedules(member, self.total_steps, momentum) for member in members]

    @property
    def steps_per_block(self) -> int:
        """Number of steps in a block."""
        return self.epochs_per_block * self.plan.steps_per_epoch

    @property
    def scheduled_momentum(self) -> bool:
        """Whether the momentum is an input of each step."""
        return self._schedules[0].momenta is not None

    def read_start(self) -> None:
        """Read the state in which all members start from the model. The model's metrics are reset."""
        self._start = TrainingState.of(self._model)
        if self._average_rates is not None:
            self._start = with_average(self._start, (0, []))
        self._model.reset_metrics()
        self.initial_metrics = TrainingState.of(self._model).metrics

    def start_state(self, group: MemberGroup) -> TrainingState:
        """Return the state of a group before its first step."""
        # All members start from the optimizer of the model; only the layers may be those of another one.
        states = [self._start.with_layers_of(self._members[k].start) for k in group.indices]
        if not group.vectorized:
            return states[0]  # A program without an axis of members takes the state as it is.
        return keras.tree.map_structure(lambda *leaves: ops.stack(leaves), *states)

    def row_orders(self, group: MemberGroup) -> list[RowOrder]:
        """Return the row order of each member of a group, from the first epoch."""
        members = [self._members[k] for k in group.indices]
        return [RowOrder(self.plan, member.seed, self._shuffle, member.skipped) for member in members]

    def first_block(self, group: MemberGroup, steps: int) -> BlockArguments:
        """Return the arguments of a program for the first steps of a group."""
        return self.block(group, self.start_state(group), self.row_orders(group), 0, steps)

    def block(
        self,
        group: MemberGroup,
        state: TrainingState,
        orders: Sequence[RowOrder | FixedRows],
        first_step: int,
        steps: int,
    ) -> BlockArguments:
        """Return the arguments of a program for one block.

        Args:
            group: The members to train.
            state: Their state before the block.
            orders: Their row orders, from which the rows of the block are taken.
            first_step: First step of the block.
            steps: Number of steps, at most `steps_per_block`.
        """
        members = zip(group.indices, orders, strict=True)
        inputs = [self._step_inputs(self._schedules[k], order, first_step, steps) for k, order in members]
        stacked = keras.tree.map_structure(_stack, *inputs) if group.vectorized else inputs[0]
        if self._average_rates is not None:
            rates = self._average_rates[first_step : first_step + steps]
            stacked = stacked._replace(average_rates=_pad(rates, self.steps_per_block))
        segments = self.plan.segments(first_step, steps)
        # The last block may have fewer epochs, but the shapes of a program are fixed.
        columns = segments.padded(self.epochs_per_block)
        return state, self._data, stacked, columns, self.initial_metrics, np.int32(len(segments))

    def _step_inputs(
        self, schedules: TabulatedSchedules, order: RowOrder | FixedRows, first_step: int, steps: int
    ) -> StepInputs:
        block, length = slice(first_step, first_step + steps), self.steps_per_block
        return StepInputs(
            rows=_pad(order.take(steps), length),
            learning_rates=_pad(schedules.learning_rates[block], length),
            momenta=None if schedules.momenta is None else _pad(schedules.momenta[block], length),
        )


def _pad(array: NDArray[A], length: int) -> NDArray[A]:
    """Return the array with zeros appended to its first axis."""
    return np.pad(array, [(0, length - len(array)), *[(0, 0)] * (array.ndim - 1)])


def _stack(*arrays: NDArray[A] | None) -> NDArray[A] | None:
    """Stack arrays along a new first axis. None, the same for all members, stays None."""
    present = [array for array in arrays if array is not None]
    return np.stack(present) if present else None
