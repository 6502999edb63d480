"""The range test as a compiled program over arrays in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.engine.batch_order import Order, Plan
from onecycle.engine.program_cache import kept, layout
from onecycle.engine.training_program import Form, Program, Tables
from onecycle.engine.training_steps import State
from onecycle.keras_support import compilation, training_data
from onecycle.keras_support.optimizers import velocities
from onecycle.keras_support.train_function import build_as_fit_does
from onecycle.suggestions.divergence import DivergenceRule, StopReason

CHUNK, FIRST_CHUNK = 64, 8  # steps between two looks at the losses, at most
PATIENCE = 0.5  # seconds between them: so long Ctrl-C waits, and a loss that has diverged trains on


class CompiledRamp:
    """A range test that trains in chunks of steps, each one call, from a state that the model's variables keep.

    Args:
        model: A compiled model that `engine.suited.unsuited` has nothing against.
        learning_rates: (steps,) those of the ramp.
        data: (x, y, sample_weight), arrays.
        batch_size: Rows of a batch.

    Attributes:
        refusal: Why the test cannot be run so, as the end of a sentence, or None.
    """

    def __init__(self, model: Any, learning_rates: NDArray[np.float64], data: Any, batch_size: int) -> None:
        self._rates = learning_rates
        self._plan = Plan(training_data.rows(data), batch_size)
        build_as_fit_does(model, _first(data, batch_size))
        self._start, self._data = _start(model), compilation.on_device(data)
        segments = -(-CHUNK // self._plan.steps) + 1
        self._form = Form(self._plan, CHUNK, segments, reports=(), freezes=False, momentum=False)
        self._program = kept(model).get(
            (layout(model, data), self._form),
            lambda: Program(model, self._form, self._arguments(self._start, _some_rows(self._plan), 0, 1)),
        )
        self.refusal: str | None = self._program.refusal

    def run(self, after_read: Callable[[int, float], None]) -> CompiledRampRun:
        """Train until the ramp's end or until the loss diverges, the order drawn from NumPy's global generator.

        Args:
            after_read: Called with the number of steps and the last loss whenever losses were read.
        """
        state, rule = self._start, DivergenceRule()
        # All at once: how many steps a call makes depends on the clock, and what is drawn next must not.
        rows = Order(self._plan, None).take(len(self._rates))
        losses: list[float] = []
        steps = FIRST_CHUNK
        while rule.stop_reason is None and len(losses) < len(self._rates):
            began, steps = time.perf_counter(), min(steps, len(self._rates) - len(losses))
            state, found, _ = self._program(*self._arguments(state, rows, len(losses), steps))
            new = np.asarray(found)[:steps].tolist()
            losses += new
            rule.update(new)
            end = len(losses) if rule.stopped_at is None else rule.stopped_at + 1
            after_read(end, losses[end - 1])
            seconds = time.perf_counter() - began
            steps = min(CHUNK, max(1, int(steps * PATIENCE / seconds)))
        reason = rule.stop_reason or StopReason.COMPLETED
        return CompiledRampRun(self._rates[:end], np.array(losses[:end]), reason)

    def _arguments(self, state: State, order: NDArray[Any], first: int, steps: int) -> tuple[Any, ...]:
        room = CHUNK - steps
        rates = np.pad(self._rates[first : first + steps].astype("float32"), (0, room))
        rows = np.pad(order[first : first + steps], ((0, room), (0, 0)))
        segments = self._plan.segments(first, steps)
        columns = segments.padded(self._form.segments)
        return state, self._data, Tables(rows, rates, None, ()), columns, self._start.metrics, np.int32(len(segments))


class CompiledRampRun:
    """A range test that is over.

    Attributes:
        losses: (n,) the true loss of each batch, up to and with the one that ended the test.
        stop_reason: Why it ended.
    """

    def __init__(self, rates: NDArray[np.float64], losses: NDArray[np.float64], stop_reason: StopReason) -> None:
        self._rates, self.losses, self.stop_reason = rates, losses, stop_reason

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rates (n,), rising, and losses (n,)."""
        return self._rates, self.losses


def _start(model: Any) -> State:
    """The model's state, without the velocities of another rate, which would drown the ramp's first steps."""
    state = State.of(model)
    of_other_rates = {id(variable) for variable in velocities(model.optimizer)}
    pairs = zip(model.optimizer.variables, state.optimizer, strict=True)
    return state._replace(
        optimizer=[value * 0 if id(variable) in of_other_rates else value for variable, value in pairs]
    )


def _some_rows(plan: Plan) -> NDArray[Any]:
    """Those of one step, drawn from no generator, for a program that is compiled and not called."""
    return Order(plan, None, shuffle=False).take(1)


def _first(data: Any, rows: int) -> Any:
    return keras.tree.map_structure(lambda whole: None if whole is None else whole[:rows], data)
