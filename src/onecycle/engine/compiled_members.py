"""Members trained by compiled programs over arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import keras
import numpy as np
from keras import ops

from onecycle.engine import member_schedules
from onecycle.engine.batch_order import Order, Plan
from onecycle.engine.choice import Choice, Trial, chosen, refused
from onecycle.engine.members import Array, Member
from onecycle.engine.program_cache import Kept, kept, layout
from onecycle.engine.training_program import Evaluation, Form, Program, Tables
from onecycle.engine.training_steps import State
from onecycle.keras_support import compilation, training_data
from onecycle.keras_support.model_state import is_loss_tracker
from onecycle.keras_support.train_function import build_as_fit_does

BLOCK = 256  # steps of one call at least, whole epochs: each call costs a tenth of a millisecond
LONG_ENOUGH = 0.005  # seconds that a trial must take to be believed


@dataclass(frozen=True)
class Trained:
    """What came of it, before it is told as a `MemberRuns`; None stands for nothing asked for."""

    losses: Array
    metrics: dict[str, Array]
    validation: dict[str, Array]
    weights: tuple[list[Any], ...] | None
    compile_seconds: float


class CompiledMembers:
    """The training of all members, by one program for all or one after the other.

    Args:
        data: (x, y, sample_weight), arrays.
        validation: The same, or None.
        each_epoch: Whether validation follows every epoch, else the last alone.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        members: Sequence[Member],
        *,
        epochs: int,
        batch_size: int,
        validation: Any = None,
        each_epoch: bool = False,
        shuffle: bool = True,
        engine: str = "auto",
    ) -> None:
        self._model, self._members, self._epochs = model, members, epochs
        self._plan = Plan(training_data.rows(data), batch_size)
        self._validation_plan = validation and Plan(training_data.rows(validation), batch_size)
        self._shuffle, self._engine, self._each_epoch = shuffle, engine, each_epoch
        first = keras.tree.map_structure(lambda whole: None if whole is None else whole[:batch_size], data)
        build_as_fit_does(model, first)
        self._data, self._validation = compilation.on_device(data), compilation.on_device(validation)
        self._kept: Kept = kept(model)
        self._layout = layout(model, data, validation)
        self._begin()
        said = model.get_metrics_result()  # a score for each class has no place in a table
        self._names = tuple(name for name in said if np.ndim(ops.convert_to_numpy(said[name])) == 0)
        self._compile_seconds = 0.0
        self._rates = self._tabulated()
        # How long they are depends on the betas and on where the optimizer's counter is: few lengths, few programs.
        lengths = zip(*([len(own) for own in rates.products] for rates in self._rates), strict=True)
        self._products = tuple(1 << (max(own) - 1).bit_length() for own in lengths)
        self._block = 1 if each_epoch and validation else -(-BLOCK // self._plan.steps)

    def _begin(self) -> None:
        """Take the state that all members begin in from the model."""
        self._start = State.of(self._model)
        self._model.reset_metrics()
        self._fresh = State.of(self._model).metrics

    def train(self, mapped: bool, weights: bool) -> Trained:
        """Train all members, together or one after the other; the model's own variables stay as they are."""
        groups = [range(len(self._members))] if mapped else [[k] for k in range(len(self._members))]
        found = [self._group(list(group), mapped) for group in groups]
        losses = np.concatenate([one[0] for one in found])
        reports = np.concatenate([one[1] for one in found])
        validated = np.concatenate([one[2] for one in found])
        metrics = {name: reports[..., k] for k, name in enumerate(self._reports)} or {"loss": self._mean_losses(losses)}
        return Trained(
            losses,
            metrics,
            {name: validated[..., k] for k, name in enumerate(self._names)} if self._validation else {},
            tuple(own for one in found for own in self._weights(one[3])) if weights else None,
            self._compile_seconds,
        )

    @property
    def _reports(self) -> tuple[str, ...]:
        """Metrics kept step by step; the mean of the losses alone is worked out afterwards."""
        metrics = self._model.metrics
        return () if all(is_loss_tracker(self._model, metric) for metric in metrics) else self._names

    def _tabulated(self) -> list[member_schedules.Rates]:
        optimizer, steps = self._model.optimizer, self._epochs * self._plan.steps
        own = member_schedules.own_momentum(optimizer, self._members)
        return [member_schedules.rates(self._model, member, steps, own) for member in self._members]

    def _program(self, members: int | None) -> Program:
        form = Form(
            self._plan,
            self._block * self._plan.steps,
            self._block,
            self._reports,
            freezes=True,
            momentum=self._rates[0].momenta is not None,
            members=members,
        )

        def make() -> Program:
            steps = self._block * self._plan.steps
            who = list(range(members)) if members else [0]
            arguments = self._arguments(self._states(who, members is not None), who, self._orders(who), 0, steps)
            program = Program(self._model, form, arguments, anyway=anyway)
            self._compile_seconds += program.compile_seconds
            return program

        anyway = self._engine != "auto"
        return self._kept.get((self._layout, form, self._products, anyway), make)

    def _group(self, who: list[int], mapped: bool) -> tuple[Array, Array, Array, State]:
        """Losses, metrics and validation of some members trained together, and their last states."""
        program = self._program(len(who) if mapped else None)
        orders, state = self._orders(who), self._states(who, mapped)
        steps, block = self._epochs * self._plan.steps, self._block * self._plan.steps
        losses = np.full((len(who), steps), np.nan)
        reports = np.full((len(who), self._epochs, len(self._reports)), np.nan)
        validated = []
        for first in range(0, steps, block):
            many = min(block, steps - first)
            state, *found = program(*self._arguments(state, who, orders, first, many))
            own_losses, own_reports = (np.asarray(one) if mapped else np.asarray(one)[None] for one in found)
            losses[:, first : first + many] = own_losses[:, :many]
            epochs = slice(first // self._plan.steps, (first + many) // self._plan.steps)
            reports[:, epochs] = own_reports[:, : epochs.stop - epochs.start]
            if self._validation and (self._each_epoch or first + many == steps):
                state, own = self._evaluated(state, mapped, len(who))
                validated.append(own)
            elif not np.isfinite(losses[:, first + many - 1]).any():
                break  # nobody is left to train
        return losses, reports, self._stacked(validated, len(who)), state

    def _stacked(self, validated: list[Array], members: int) -> Array:
        evaluations = self._epochs if self._each_epoch else 1
        found = np.full((members, evaluations, len(self._names)), np.nan)
        for k, one in enumerate(validated):
            found[:, k] = one
        return found

    def _evaluated(self, state: State, mapped: bool, members: int) -> tuple[State, Array]:
        arguments = (state, self._validation, self._fresh)

        def make() -> Evaluation:
            plan, axis = self._validation_plan, members if mapped else None
            evaluation = Evaluation(self._model, plan, self._names, axis, arguments)
            self._compile_seconds += evaluation.compile_seconds
            return evaluation

        key = (self._layout, "evaluation", self._validation_plan, members if mapped else None)
        state, reports = self._kept.get(key, make)(*arguments)
        return state, np.asarray(reports) if mapped else np.asarray(reports)[None]

    def _orders(self, who: list[int]) -> list[Order]:
        members = [self._members[k] for k in who]
        return [Order(self._plan, member.seed, self._shuffle, member.skipped) for member in members]

    def _states(self, who: list[int], mapped: bool) -> State:
        states = [self._start.begun_as(self._members[k].start) for k in who]
        return keras.tree.map_structure(lambda *leaves: ops.stack(leaves), *states) if mapped else states[0]

    def _arguments(self, state: State, who: list[int], orders: list[Order], first: int, steps: int) -> tuple[Any, ...]:
        """The arguments of a program for so many steps from `first` on."""
        room = self._block * self._plan.steps
        tables = [self._table(self._rates[k], order, first, steps, room) for k, order in zip(who, orders, strict=True)]
        segments = self._plan.segments(first, steps)
        data, fresh = self._data, self._fresh
        mapped = len(state.alive.shape) > 0
        together = keras.tree.map_structure(_stack, *tables) if mapped else tables[0]
        return state, data, together, segments.padded(self._block), fresh, np.int32(len(segments))

    def _table(self, rates: member_schedules.Rates, order: Order, first: int, steps: int, room: int) -> Tables:
        def part(column: Any) -> Any:
            own = column[first : first + steps]
            return np.pad(own, (0, room - len(own)))

        rows = np.pad(order.take(steps), ((0, room - steps), (0, 0)))
        momenta = None if rates.momenta is None else part(rates.momenta)
        products = zip(rates.products, self._products, strict=True)  # all end in a 0, which stands for all that follow
        return Tables(
            rows,
            part(rates.learning_rates),
            momenta,
            tuple(np.pad(own, (0, length - len(own))) for own, length in products),
        )

    def choose(self, fit_trial: Callable[[], float]) -> Choice:
        """The engine for these members, tried out unless it was asked for.

        Args:
            fit_trial: Returns the seconds that a step of `fit` takes.
        """
        refusal = None if compilation.are_functions() else self._program(None).refusal
        if self._engine != "auto":
            if refusal:
                raise ValueError(f"Argument `engine` cannot be {self._engine!r} here: {refusal}. Pass `engine='auto'`.")
            return Choice(self._engine, "It was asked for.")
        if not compilation.are_functions():
            why = "This backend's programs train one member after the other, with less ado than `fit`."
            return refused(refusal) if refusal else Choice("scan", why)
        steps, members = self._epochs * self._plan.steps, len(self._members)

        def trial(engine: str) -> Trial:
            if engine != "fit":
                return self._trial(engine == "vmap")
            found = Trial(fit_trial())
            self._begin()  # JAX donates what `fit` trains on
            return found

        key = (self._layout, "choice", members, steps, self._block)
        return self._kept.get(key, lambda: chosen(members, steps, trial))

    def _trial(self, mapped: bool) -> Trial:
        who = list(range(len(self._members))) if mapped else [0]
        program = self._program(len(who) if mapped else None)
        if program.refusal:
            return Trial(float("inf"), program.compile_seconds, program.refusal)
        steps, most = 1, self._block * self._plan.steps
        while True:
            arguments = self._arguments(self._states(who, mapped), who, self._orders(who), 0, steps)
            taken = min(compilation.seconds(program, *compilation.on_device(arguments)) for _ in range(3))
            if taken > LONG_ENOUGH or steps >= most:
                return Trial(taken / steps / len(who), program.compile_seconds)
            steps = min(4 * steps, most)

    def _mean_losses(self, losses: Array) -> Array:
        sizes = self._plan.sizes(self._plan.steps)
        by_epoch = losses.reshape(len(losses), self._epochs, self._plan.steps)
        return np.asarray((by_epoch * sizes).sum(axis=2) / self._plan.rows)

    def _weights(self, state: State) -> list[list[Any]]:
        """What `get_weights` gives of each member in a state, after what `fit` does as it ends."""
        host = compilation.on_host(state)
        if np.ndim(host.alive) == 0:
            host = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[None], host)
        return [self._weights_of(keras.tree.map_structure(itemgetter(k), host)) for k in range(len(host.alive))]

    def _weights_of(self, state: State) -> list[Any]:
        model = self._model
        groups = (model.trainable_variables, state.trainable), (model.non_trainable_variables, state.non_trainable)
        for variables, values in (*groups, (model.optimizer.variables, state.optimizer)):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        model.optimizer.finalize_variable_values(model.trainable_weights)
        return list(model.get_weights())


def _stack(*own: Any) -> Any:
    return None if own[0] is None else np.stack(own)
