"""Training as one compiled program: a loop over the steps of a block."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
from keras import ops

from onecycle.engine.batch_order import Plan
from onecycle.engine.member_schedules import Feed, correct_by
from onecycle.engine.training_steps import State, steps_of
from onecycle.keras_support import compilation
from onecycle.keras_support.random_state import global_seed_generator

MOST_CONVOLVED = 4_000_000  # operations of a step's convolutions, about a millisecond inside a loop on a CPU


class Tables(NamedTuple):
    """What the steps of a block are fed; of several members each leaf has them in front.

    Attributes:
        order: (steps, batch) rows of each batch.
        learning_rates: (steps,).
        momenta: (steps,) or None.
        products: Products of betas for each optimizer that corrects by them.
    """

    order: Any
    learning_rates: Any
    momenta: Any
    products: tuple[Any, ...]


@dataclass(frozen=True)
class Form:
    """What a program is compiled for, beside the model and the shapes of its data.

    Attributes:
        plan: How an epoch is cut into batches.
        steps: Steps that a block has room for.
        segments: Stretches of whole batches that a block has room for.
        reports: Names of the metrics that are kept; empty where none is.
        freezes: Whether a member whose loss is not finite stays as it is from that step on.
        momentum: Whether the momentum is fed.
        members: How many members one call trains; None for one without an axis of members.
    """

    plan: Plan
    steps: int
    segments: int
    reports: tuple[str, ...]
    freezes: bool
    momentum: bool
    members: int | None = None


class Program:
    """A compiled block of training steps.

    Called with a `State`, the data (x, y, sample_weight), `Tables`, the four padded columns of `Segments`, the metrics'
    variables as an epoch begins with them, and the number of segments, it returns the new state, the losses (steps,),
    NaN where no step was made or a member had diverged, and what the metrics say at each segment's end.

    Args:
        arguments: Such as it will be called with.
        anyway: Whether it is compiled even where a loop is slow.

    Attributes:
        refusal: Why it was not compiled and cannot be called, as the end of a sentence, or None.
        compile_seconds: What making it took.
    """

    def __init__(self, model: Any, form: Form, arguments: tuple[Any, ...], *, anyway: bool = False) -> None:
        self.form = form
        feed = Feed(form.momentum)
        block = _Block(weakref.ref(model), form, feed)
        began = time.perf_counter()
        members = None if form.members is None else (0, None, 0, None, None, None)
        with feed.installed(model):
            traced = compilation.traced(block, arguments, members)
        generator = global_seed_generator()
        heavy = compilation.convolutions_in_loops(traced)
        self.refusal: str | None = None
        if compilation.draws_globally(traced, generator and generator.state):
            self.refusal = "a layer without a seed of its own draws from the global random numbers"
        elif heavy > MOST_CONVOLVED and not anyway:
            self.refusal = (
                f"convolutions of {heavy / 1e6:.3g} million operations a step are slow inside a loop on this CPU"
            )
        else:
            self._run = compilation.compiled(traced)
        self.compile_seconds = time.perf_counter() - began

    def __call__(self, *arguments: Any) -> tuple[State, Any, Any]:
        state, losses, reports = self._run(*arguments)
        return State(*state), losses, reports


class _Block:
    """The function that is compiled; it holds the model weakly, since the program outlives the call."""

    def __init__(self, model: Callable[[], Any], form: Form, feed: Feed) -> None:
        self._model, self._form, self._feed = model, form, feed

    def __call__(self, state: State, data: Any, tables: Tables, segments: Any, fresh_metrics: Any, count: Any) -> Any:
        form, model = self._form, self._model()
        starts, stops, shorts, fresh = segments
        steps = steps_of(model)
        if form.momentum:
            correct_by(model, tables.products)

        def step(at: Any, carry: Any, rows: int) -> Any:
            state, losses = carry
            momentum = None if tables.momenta is None else tables.momenta[at]
            self._feed.set(tables.learning_rates[at], momentum)
            batch = _rows(data, tables.order[at, :rows])
            state, loss = steps.train(state, batch, keeps_metrics=bool(form.reports), freezes=form.freezes)
            return state, ops.slice_update(losses, (at,), ops.reshape(ops.cast(loss, "float32"), (1,)))

        def segment(k: Any, carry: Any) -> Any:
            state, losses, reports = carry
            if form.reports:
                state = steps.with_metrics(state, fresh_metrics, fresh[k])
            carry = state, losses
            if form.plan.full:
                whole = form.plan.batch_size
                carry = ops.fori_loop(starts[k], stops[k], lambda at, carry: step(at, carry, whole), carry)
            if form.plan.remainder:
                rest = form.plan.remainder
                carry = ops.cond(shorts[k], lambda: step(stops[k], carry, rest), lambda: carry)
            state, losses = carry
            if form.reports:
                row = ops.reshape(steps.report(state, form.reports), (1, -1))
                reports = ops.slice_update(reports, (k, 0), row)
            return state, losses, reports

        losses = ops.full((form.steps,), float("nan"), "float32")
        reports = ops.full((form.segments, len(form.reports)), float("nan"), "float32")
        state, losses, reports = ops.fori_loop(0, count, segment, (steps.enter(state), losses, reports))
        return steps.leave(state), losses, reports


class Evaluation:
    """A compiled pass over validation data: (state, data, fresh metrics) → (state, reports), as `evaluate` does it."""

    def __init__(
        self, model: Any, plan: Plan, reports: tuple[str, ...], members: int | None, arguments: tuple[Any, ...]
    ) -> None:
        self._model, self._plan, self._reports = weakref.ref(model), plan, reports
        began = time.perf_counter()
        axes = None if members is None else (0, None, None)
        self._run = compilation.compiled(compilation.traced(self._evaluate, arguments, axes))
        self.compile_seconds = time.perf_counter() - began

    def __call__(self, *arguments: Any) -> tuple[State, Any]:
        state, reports = self._run(*arguments)
        return State(*state), reports

    def _evaluate(self, state: State, data: Any, fresh_metrics: Any) -> Any:
        plan, steps = self._plan, steps_of(self._model())

        def step(at: Any, carried: State, rows: int) -> State:
            wanted = at * plan.batch_size + ops.arange(rows, dtype="int32")
            return steps.test(carried, _rows(data, wanted))

        carried = steps.with_metrics(steps.enter(state), fresh_metrics)
        if plan.full:
            carried = ops.fori_loop(0, plan.full, lambda at, carried: step(at, carried, plan.batch_size), carried)
        if plan.remainder:
            carried = step(plan.full, carried, plan.remainder)
        found = steps.report(carried, self._reports)
        return steps.leave(carried)._replace(metrics=state.metrics), found


def _rows(data: Any, rows: Any) -> Any:
    return keras.tree.map_structure(lambda whole: None if whole is None else compilation.rows(whole, rows), data)
