"""The guard of one `fit`: it watches the training function, keeps good states and goes back to them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import keras

from onecycle.hyperparameters.lowering import LoweredRate
from onecycle.keras_support import backends, step_state
from onecycle.keras_support.fit_scope import FitScope
from onecycle.keras_support.guessing import guessing_loss
from onecycle.keras_support.interrupts import undo_unless_finished
from onecycle.keras_support.loss_stream import LossStream
from onecycle.keras_support.optimizers import (
    raw_step,
    scale_velocities,
    set_lost_steps,
    skip_ema_overwrite_once,
    steps_per_update,
)
from onecycle.keras_support.recent_batches import RecentBatches
from onecycle.keras_support.train_function import remake_train_function
from onecycle.keras_support.types import Nested
from onecycle.results.rescue import Rescue
from onecycle.suggestions.explosion import ExplosionRule
from onecycle.training.fault_watch import Fault, FaultWatch
from onecycle.training.good_states import GoodState, GoodStates
from onecycle.training.rescue_policy import RescuePolicy

UNKNOWN_LENGTH = 10_000  # steps of a training whose data has no known length


class DivergenceError(RuntimeError):
    """Training diverged more often than a `DivergenceGuard` was to rescue it."""


class GuardRun:
    """Watches one `fit` from `start` to `end`.

    Args:
        model: The model whose `fit` runs.
        params: `callback.params` of Keras.
        epoch: The first epoch.
        max_rescues: Number of rescues after which training ends with an error.
        copies: Number of good states in memory, or None for up to two that fit into it.
        reads_each_step: Whether another callback ends training at the first NaN that it sees.
        checks_each_epoch: Whether another callback may save the model when an epoch ends.
        rescued: Called with each rescue.
    """

    def __init__(
        self, model: keras.Model, params: Mapping[str, int | None], epoch: int, *, max_rescues: int, copies: int | None,
        reads_each_step: bool, checks_each_epoch: bool, rescued: Callable[[Rescue], None],
    ) -> None:  # fmt: skip
        self._model, self._max_rescues, self._rescued = model, max_rescues, rescued
        self._checks_each_epoch, self._most_copies = checks_each_epoch, copies
        steps, epochs = params.get("steps"), params.get("epochs")
        self._epochs_left = (epochs or 0) - epoch
        self._total = UNKNOWN_LENGTH if steps is None or epochs is None else steps * self._epochs_left
        self._losses = LossStream(model, steps_per_epoch=steps, reads_each_step=reads_each_step)
        own_step = self._losses.from_own_step
        self._rule = ExplosionRule(guessing_loss(model), own_step=own_step, total_steps=self._total)
        self._batches = RecentBatches(model)
        self._watch = FaultWatch(model, self._losses, self._rule)
        self._lost = self._steps_before = 0
        self._corrected: dict[str, float] = {}
        self._scope: FitScope | None = None
        self._states: GoodStates | None = None

    @property
    def closing_words(self) -> str | None:
        """What the user should know when training has ended; None if nothing."""
        return self._policy.closing_words

    @property
    def lost(self) -> int:
        """Number of steps by which the step counter is behind."""
        return self._lost

    @property
    def steps(self) -> int:
        """Number of steps of the training so far, with those of the run that this one continues."""
        return self._steps_before + self._losses.steps

    def start(self, rescues: Sequence[Rescue] = (), lost: int = 0, steps: int = 0) -> None:
        """Begin to watch. Call it after all other callbacks have begun the first epoch.

        Args:
            rescues: Those of the run that this one continues.
            lost: The steps that it lost.
            steps: The steps that it made.
        """
        model, self._steps_before = self._model, steps
        self._rate = LoweredRate(model)
        self._lost, first = lost, raw_step(model.optimizer) + lost
        self._policy = RescuePolicy(
            self._rate, self._losses, self._batches, self._rule,
            max_rescues=self._max_rescues, first_step=first, total_steps=self._total, made=rescues,
            steps_before=steps,
        )  # fmt: skip
        set_lost_steps(model.optimizer, lost)
        self._train_function = self._watching = model.train_function
        undo_unless_finished(self._install, self.end)

    def end(self) -> None:
        """Stop watching and undo everything but the state of the model. A second call does nothing."""
        if self._scope is None:
            self._undo()
        else:
            self._scope.close()

    def begin_epoch(self) -> None:
        """Begin an epoch."""
        self._epochs_left -= 1
        self._losses.begin_epoch()
        self._batches.clear()
        self._rate.reapply()
        if self._states is None and self._model.built:
            self._keep_first()

    def look_at_end(self) -> None:
        """Look at what has not been looked at yet in the epoch that ends."""
        if self._losses.waiting:
            self._look(None, at_end=True)

    def end_epoch(self) -> dict[str, float]:
        """Do the same, and return the logs of the epoch that had to be corrected."""
        self.look_at_end()
        corrected, self._corrected = self._corrected, {}
        return corrected

    def _keep_first(self) -> None:
        copies, learned_below = self._most_copies, self._rule.learned_below
        self._states = GoodStates(
            self._model, self._losses, most=copies, total_steps=self._total, learned_below=learned_below
        )

    def _install(self) -> None:
        self._losses.recorded.attach()
        if self._losses.recorded.active:
            remake_train_function(self._model)
        if self._policy.made:  # the learning rate as a number was in the backup
            self._lower(self._policy.made[-1].learning_rate_factor, [None] * len(self._rate.numbers()))
        self._wrap()
        self._scope = FitScope(self._model, self._undo, self._wrap)

    def _undo(self) -> None:
        self._losses.recorded.detach()
        self._rate.undo()
        set_lost_steps(self._model.optimizer, 0)
        if self._model.train_function is self._watching:
            # A function that was made since then has the guard's changes in it.
            same = self._compiled is self._train_function and not self._losses.recorded.active
            self._model.train_function = self._train_function if same else None

    def _wrap(self) -> None:
        """Put the watch around the training function."""
        self._compiled = self._model.train_function
        self._watching = self._losses.watching(self._compiled, self._batches.watcher(), self._look)
        self._model.train_function = self._watching

    def _look(self, result: Nested, *, at_end: bool = False) -> Nested:
        """Judge the losses since the last look, and the state where it is due; go back if training has diverged."""
        if self._losses.skim():
            return result
        at_end = at_end or self._losses.ends_epoch
        losses = self._losses.read(result)
        if self._states is None:  # the first step has built the model
            self._keep_first()
        assert self._states is not None
        fault = self._watch.of_losses(losses, self._states, result)
        if fault is not None and fault.kind == "damaged" and self._policy.is_exhausted:
            self._watch.accept_damage()  # a bad end is better than none
            fault = None
        if fault is None:
            checks = at_end and (self._checks_each_epoch or self._epochs_left <= 0)
            fault = self._watch.of_state(losses, self._states, result, checks=checks)
        if fault is not None:
            result = self._rescue(fault, result, at_end)
        self._watch.plan(self._states, each=self._policy.bad_batches > 1)
        return result

    def _rescue(self, fault: Fault, result: Nested, at_end: bool) -> Nested:
        """Go back to a good state, or give up."""
        states, model = self._states, self._model
        assert states is not None
        if result is not None:
            step_state.write_back_state(model, result)
        decision = self._policy.decide(fault, states)
        factor = decision.factor
        if factor is None:
            raise self._given_up(f"Step {self._steps_before + fault.step}: {decision.cause}.")
        now, numbers = raw_step(model.optimizer), self._rate.numbers()
        lowers = factor != self._rate.factor
        state = states.choose(fault.step, cautious=lowers, highest=self._rule.normal_up_to)
        relative_rate = self._policy.rate_relative_to(state.position.step, factor)
        same_epoch = self._restore(state, lowered=lowers)
        lost = now - state.counter
        self._lost += lost
        set_lost_steps(model.optimizer, self._lost)
        if lowers:
            scale_velocities(model.optimizer, relative_rate)
        if decision.records:
            self._losses.record_batches()
            remake_train_function(model)
        self._lower(factor, numbers)
        step = self._steps_before + fault.step
        self._report(Rescue(step, decision.cause, self._rate.factor, lost), decision.of_bad_batch)
        logs, goes_on = self._healthy_logs(), same_epoch and state.position.batches > 0
        if result is None or (at_end and not goes_on):
            self._corrected = self._corrected_logs(goes_on=goes_on)
        if result is None:
            return None
        return step_state.result_with_state(model, (logs, result[1]) if backends.is_functional() else logs)

    def _report(self, rescue: Rescue, of_bad_batch: bool) -> None:
        """Add a rescue to the record, and warn of it unless it is one of many for bad batches."""
        is_news = self._policy.add(rescue, of_bad_batch=of_bad_batch)
        self._rescued(rescue)
        if is_news:
            more = " Further batches with bad values are counted and reported at the end." if of_bad_batch else ""
            warnings.warn(f"DivergenceGuard: {rescue.description}{more}", stacklevel=2)

    def _lower(self, factor: float, numbers: list[float | None]) -> None:
        """Continue with a factor on the learning rate, at the steps that were lost."""
        # With gradient accumulation, rounded up, so that the last update has the last rate.
        updates = steps_per_update(self._model.optimizer)
        self._rate.apply(factor, -(-self._lost // updates) * updates, numbers)

    def _restore(self, state: GoodState, *, lowered: bool = False) -> bool:
        """Restore a state and return whether it is of this epoch."""
        same_epoch = state.position.epoch == self._losses.epoch
        state.restore(metrics=same_epoch and state.position.batches > 0)
        self._losses.restored(state.position)
        self._watch.restored(state.position.step, lowered=lowered)
        self._batches.clear()
        return same_epoch

    def _corrected_logs(self, *, goes_on: bool) -> dict[str, float]:
        """Return the logs of an epoch that ends with a rescue.

        Args:
            goes_on: Whether the metrics are those of earlier batches of the epoch.
        """
        newest = self._model.get_metrics_result()
        if not goes_on:
            # The metrics begin anew, at zero, which would be the best loss of all.
            newest = self._losses.healthy_logs or dict.fromkeys(newest, math.nan)
        return {name: float(value) for name, value in newest.items()}

    def _healthy_logs(self) -> dict[str, Nested]:
        """Return logs for callbacks that would take a NaN for the end of the training."""
        return dict(self._losses.healthy_logs or self._model.get_metrics_result())

    def _given_up(self, reason: str) -> DivergenceError:
        """Restore the best state, undo everything and return the error to raise."""
        assert self._states is not None
        best, numbers = self._states.best(), self._rate.numbers()
        self._restore(best)
        self._rate.apply(self._rate.factor, self._rate.lost, numbers)
        # On JAX, `fit` would write the diverged state back.
        step_state.discard_state(self._model)
        if backends.is_functional():
            skip_ema_overwrite_once(self._model.optimizer)
        self.end()
        step, loss = self._steps_before + best.position.step, best.level
        return DivergenceError(
            f"Training diverged, after {len(self._policy.made)} rescues. {reason} The model has its state after step "
            f"{step} again{'' if math.isinf(loss) else f', with a loss of {loss:.4g}'}. Train with a lower learning "
            "rate, check the data for bad values, or raise `max_rescues`."
        )
