"""Members trained by compiled programs in parts: from states and up to steps that the caller chooses (JAX)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from onecycle.engine.averaging import with_averaged_weights
from onecycle.engine.batch_order import BatchPlan, FixedRows, RowOrder
from onecycle.engine.block_inputs import SINGLE_MEMBER, BlockInputs, all_members
from onecycle.engine.choice import EngineChoice
from onecycle.engine.fitted_members import seconds_per_fit_step
from onecycle.engine.member_programs import MemberPrograms, ValidationSet
from onecycle.engine.members import Array, Member
from onecycle.engine.pace import Pace
from onecycle.engine.program_cache import bytes_of
from onecycle.engine.shared_arguments import SharedFitArguments
from onecycle.engine.training_state import TrainingState
from onecycle.keras_support import compilation, training_data
from onecycle.keras_support.snapshot import preserving
from onecycle.keras_support.train_function import build_symbolically

MAX_BYTES_TOGETHER = 2**30  # of the states of all members
Rates = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PartReport:
    """What one call of a program did.

    Attributes:
        step: Number of steps that the members have been trained in all.
        losses: (members, n) the losses of the last n steps.
        metrics: Name -> (members,) what `fit` reports at the end of an epoch, validation included. Empty within one.
    """

    step: int
    losses: Array
    metrics: dict[str, Array]


class ResumableMembers:
    """The training of members by compiled programs, which can be paused and resumed as that by `fit` can.

    Args:
        model: A model for which `reason_not_compiled` returns None.
        arguments: The arguments of `fit`, with arrays as data, and validation data that is evaluated in each epoch.

    Attributes:
        metrics: Names of the metrics that programs compute: those with a single value.
        together: Number of members that one call trains, once `choose` was called.
    """

    def __init__(self, model: keras.Model, arguments: SharedFitArguments) -> None:
        self._model, self._arguments = model, arguments
        data, validation = arguments.training_arrays(), arguments.validation_arrays()
        assert validation is not None
        self._plan = BatchPlan(training_data.count_rows(data), arguments.array_batch_size)
        build_symbolically(model, training_data.first_rows(data, arguments.array_batch_size))
        self._data = compilation.to_device(data)
        self._validation = ValidationSet.of(validation, arguments.array_batch_size)
        self.metrics: tuple[str, ...] = ()
        self.together = 1

    def choose(self, members: Sequence[Member], average_rates: Rates) -> EngineChoice:
        """Choose between training all members at once, one after another, or with `fit`, which is left to the caller.

        Args:
            members: The members.
            average_rates: As for `part`.
        """
        _, programs = self._prepared(members, average_rates)
        self.metrics = programs.metric_names

        def seconds_of_fit() -> float:
            return preserving(self._model, lambda: seconds_per_fit_step(self._model, self._arguments))

        choice = programs.choose("auto", len(members), seconds_of_fit)
        state = sum(map(bytes_of, (*self._model.variables, *self._model.optimizer.variables)))
        if choice.engine == "vmap" and len(members) * state > MAX_BYTES_TOGETHER:
            choice = EngineChoice("scan", "The states of all members would take too much memory.")
        self.together = len(members) if choice.engine == "vmap" else 1
        return choice

    def part(
        self, members: Sequence[Member], states: Sequence[TrainingState], first_step: int, rates: Rates
    ) -> MembersPart:
        """Return a part of a training, from the state of NumPy's global generator at the start of the running epoch.

        Args:
            members: At most `together` members.
            states: The state of each before `first_step`, with an average.
            first_step: The step with which to begin.
            rates: (steps,) what `averaging.average_rates` returned, or zeros.
        """
        # One program for any number of members: the last one stands in the places that are free.
        places = self.together if len(members) > 1 else 1
        chosen = [min(k, len(members) - 1) for k in range(places)]
        inputs, programs = self._prepared([members[k] for k in chosen], rates)
        order = RowOrder(self._plan, None, self._arguments.shuffle)
        order.take(first_step % self._plan.steps_per_epoch)  # the batches before a pause
        return MembersPart(
            self._plan, inputs, programs, self._validation, order, [states[k] for k in chosen], len(members), first_step
        )

    def _prepared(self, members: Sequence[Member], rates: Rates) -> tuple[BlockInputs, MemberPrograms]:
        inputs = BlockInputs(self._model, members, self._data, self._plan, self._arguments, rates)
        data = self._data, self._validation.data
        return inputs, MemberPrograms(self._model, inputs, data, allow_slow=False, resumable=True)


class MembersPart:
    """A part of the training of members. The arguments are those of `ResumableMembers.part`.

    Args:
        plan: The division of an epoch into batches.
        inputs: Makes the arguments of the program.
        programs: The programs.
        validation: The validation data.
        order: The order of the rows, from `first_step` on.
        states: The states, of which those after the first `count` are copies.
        count: Number of members.
        first_step: The step with which to begin.
    """

    def __init__(
        self,
        plan: BatchPlan,
        inputs: BlockInputs,
        programs: MemberPrograms,
        validation: ValidationSet,
        order: RowOrder,
        states: Sequence[TrainingState],
        count: int,
        first_step: int,
    ) -> None:
        self._plan, self._inputs, self._programs, self._validation = plan, inputs, programs, validation
        self._order, self._count, self._step = order, count, first_step
        self._group = all_members(len(states)) if len(states) > 1 else SINGLE_MEMBER
        self._state = states[0]
        if self._group.vectorized:
            self._state = keras.tree.map_structure(lambda *leaves: ops.stack(leaves), *states)

    def train(self, until: int) -> Iterator[PartReport]:
        """Train the members up to a step, and yield a report after each call of the program."""
        group, epoch = self._group, self._plan.steps_per_epoch
        program, pace = self._programs.training(group), Pace()
        while self._step < until:
            step = self._step
            end_of_epoch = (step // epoch + 1) * epoch
            end = min(step + pace.steps, end_of_epoch, until)
            orders = [FixedRows(self._order.take(end - step))] * len(group.indices)
            began = time.perf_counter()
            self._state, losses, metrics = program(*self._inputs.block(group, self._state, orders, step, end - step))
            made = group.with_axis(losses)[: self._count, : end - step].astype("float64")
            pace.record(end - step, time.perf_counter() - began)
            self._step = end
            yield PartReport(end, made, self._values(metrics) if end == end_of_epoch else {})

    def states(self) -> list[TrainingState]:
        """Return the present state of each member."""
        if not self._group.vectorized:
            return [self._state]
        return [keras.tree.map_structure(itemgetter(k), self._state) for k in range(self._count)]

    def averaged_metrics(self) -> dict[str, Array]:
        """Return name -> (members,) the metrics of the averaged weights on the validation data."""
        _, metrics = self._evaluated(with_averaged_weights(self._state))
        return metrics

    def _values(self, metrics: keras.KerasTensor) -> dict[str, Array]:
        """Return the metrics at the end of an epoch, given the output of the program."""
        row = self._group.with_axis(metrics)[: self._count, 0].astype("float64")
        named = {name: row[:, k] for k, name in enumerate(self._programs.step_metrics)}
        # An evaluation changes the state too, as that of a layer that draws random numbers in it.
        self._state, validation = self._evaluated(self._state)
        return named | {f"val_{name}": values for name, values in validation.items()}

    def _evaluated(self, state: TrainingState) -> tuple[TrainingState, dict[str, Array]]:
        state, values = self._programs.evaluate(self._group, state, self._validation)
        return state, {name: values[: self._count, k] for k, name in enumerate(self._programs.metric_names)}
