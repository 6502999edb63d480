"""The guard of one `fit`: it watches the training function, keeps good states and goes back to them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from onecycle.hyperparameters.lowering import LoweredRate
from onecycle.keras_support import backends, step_state
from onecycle.keras_support.fit_scope import FitScope
from onecycle.keras_support.guessing import guessing_loss
from onecycle.keras_support.interrupts import undo_unless_finished
from onecycle.keras_support.loss_stream import Loss, LossStream
from onecycle.keras_support.optimizers import (
    raw_step,
    set_lost_steps,
    skip_ema_overwrite_once,
    skips_updates,
    steps_per_update,
)
from onecycle.keras_support.recent_batches import RecentBatches
from onecycle.keras_support.train_function import remake_train_function
from onecycle.keras_support.types import Nested
from onecycle.results.rescue import Rescue
from onecycle.suggestions.explosion import ExplosionRule
from onecycle.training.good_states import GoodState, GoodStates

LOWERING = 1 / 3  # ours: of the rate at which training diverged, which it was not stable at for some steps already
MAX_SKIPPED = 3  # in a row with a loss that is not finite, which no loss scale can help
EXPLODED = "the loss exploded to"
UNKNOWN_LENGTH = 10_000  # steps of a training whose data has no known length
MAX_BAD_BATCHES = 10  # in a row: then it is the data that has to be repaired


class DivergenceError(RuntimeError):
    """Training diverged more often than a `DivergenceGuard` was to rescue it."""


class GuardRun:
    """Watches one `fit` from `start` to `end`.

    Args:
        model: The model whose `fit` runs.
        params: `callback.params` of Keras.
        epoch: The first epoch.
        max_rescues: Number of rescues after which training ends with an error.
        copies: Number of good states in memory.
        reads_each_step: Whether another callback ends training at the first NaN that it sees.
        checks_each_epoch: Whether another callback may save the model when an epoch ends.
        rescued: Called with each rescue.
    """

    def __init__(
        self, model: keras.Model, params: Mapping[str, int | None], epoch: int, *, max_rescues: int, copies: int,
        reads_each_step: bool, checks_each_epoch: bool, rescued: Callable[[Rescue], None],
    ) -> None:  # fmt: skip
        self._model, self._max_rescues, self._rescued = model, max_rescues, rescued
        self._checks_each_epoch, self._most_copies = checks_each_epoch, copies
        steps, epochs = params.get("steps"), params.get("epochs")
        self._epochs_left = (epochs or 0) - epoch
        self._total = UNKNOWN_LENGTH if steps is None or epochs is None else steps * self._epochs_left
        self._losses = LossStream(model, steps_per_epoch=steps, reads_each_step=reads_each_step)
        self._rule = ExplosionRule(guessing_loss(model), own_step=self._losses.from_own_step)
        self._batches = RecentBatches(model)
        self._made: list[Rescue] = []
        self._bad_batches = self._counted = self._lost = self._skipped = 0
        self._corrected: dict[str, float] = {}
        self._scope: FitScope | None = None
        self._states: GoodStates | None = None

    @property
    def lost(self) -> int:
        """Number of steps by which the step counter is behind."""
        return self._lost

    def start(self, rescues: Sequence[Rescue] = (), lost: int = 0) -> None:
        """Begin to watch. Call it after all other callbacks have begun the first epoch.

        Args:
            rescues: Those of the run that this one continues.
            lost: The steps that it lost.
        """
        model = self._model
        self._rate = LoweredRate(model)
        self._made, self._lost = list(rescues), lost
        self._counted = sum(one.learning_rate_factor != 1 for one in rescues)
        self._first = raw_step(model.optimizer) + lost
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

    def end_epoch(self) -> dict[str, float]:
        """Look at what has not been looked at yet in the epoch that ends.

        Returns:
            The logs of the epoch that had to be corrected.
        """
        if self._losses.waiting:
            self._look(None, at_end=True)
        corrected, self._corrected = self._corrected, {}
        return corrected

    def _keep_first(self) -> None:
        self._states = GoodStates(self._model, self._losses, most=self._most_copies, total_steps=self._total)

    def _install(self) -> None:
        self._losses.attach()
        if self._losses.changes_step:
            remake_train_function(self._model)
        if self._made:  # the learning rate as a number was in the backup
            self._lower(self._made[-1].learning_rate_factor, [None] * len(self._rate.numbers()))
        self._wrap()
        self._scope = FitScope(self._model, self._undo, self._wrap)

    def _undo(self) -> None:
        self._losses.detach()
        self._rate.undo()
        set_lost_steps(self._model.optimizer, 0)
        if self._model.train_function is self._watching:
            # A function that was made since then has the guard's changes in it.
            same = self._compiled is self._train_function and not self._losses.changes_step
            self._model.train_function = self._train_function if same else None

    def _wrap(self) -> None:
        """Put the watch around the training function."""
        self._compiled = self._model.train_function
        self._watching = self._losses.watching(self._compiled, self._batches.watched, self._look)
        self._model.train_function = self._watching

    def _look(self, result: Nested, *, at_end: bool = False) -> Nested:
        """Judge the losses since the last look, and the state where it is due; go back if training has diverged."""
        if self._losses.skim():
            return result
        at_end = at_end or self._losses.ends_epoch
        losses = self._losses.read(result)
        if self._states is None:  # the first step has built the model
            self._keep_first()
        fault = self._fault_of_losses(losses, result) or self._fault_of_state(losses, result, at_end)
        if fault is not None:
            result = self._rescue(*fault, result, at_end)
        self._plan_next_look()
        return result

    def _plan_next_look(self) -> None:
        assert self._states is not None
        self._losses.plan(each=self._rule.suspects, above=self._rule.suspicious_above, look_at=self._states.due_at)

    def _fault_of_losses(self, losses: list[Loss], result: Nested) -> tuple[str, int] | None:
        """Return what is wrong with the losses and the first step at which it was, or None."""
        for loss in losses:
            if not math.isfinite(loss.value):
                self._skipped += 1
                if self._skipped > MAX_SKIPPED or not self._was_skipped(result):
                    return "the loss became NaN or infinite", loss.step - self._skipped + 1
                continue
            self._skipped = 0
            if self._rule.check(loss.value, loss.step):
                first = loss.step - self._rule.high_steps + 1
                return f"{EXPLODED} {loss.value:.3g}", first
        return None

    def _was_skipped(self, result: Nested) -> bool:
        """Return whether loss scaling has skipped the update of a batch whose loss is not finite."""
        assert self._states is not None
        return skips_updates(self._model.optimizer) and not self._states.current_fault(result)

    def _fault_of_state(self, losses: list[Loss], result: Nested, at_end: bool) -> tuple[str, int] | None:
        """Keep the state where that is due and return what is not finite in it, or None."""
        states = self._states
        assert states is not None
        if self._rule.high_steps or not losses:
            return None
        checks = at_end and (self._checks_each_epoch or self._epochs_left <= 0)
        is_good = losses[-1].value <= self._rule.normal_up_to or states.is_old
        fault = states.fault()
        if fault is None and is_good and (states.due_at <= self._losses.steps or (checks and not states.is_current)):
            fault = states.keep(losses[-1].value, result)
        if fault is None and checks:
            fault = states.fault() or (None if states.is_current else states.current_fault(result))
        return None if fault is None else (fault, self._losses.steps - 1)

    def _rescue(self, reason: str, step: int, result: Nested, at_end: bool) -> Nested:
        """Go back to a good state, or give up."""
        states, model = self._states, self._model
        assert states is not None
        if result is not None:
            step_state.write_back_state(model, result)
        cause, factor = self._cause(reason, step)
        if factor is None:
            raise self._given_up(f"Step {step}: {cause}.")
        now, numbers = raw_step(model.optimizer), self._rate.numbers()
        state = states.choose(step, cautious=factor != self._rate.factor, highest=self._rule.normal_up_to)
        same_epoch = self._restore(state)
        lost = now - state.counter
        self._lost += lost
        set_lost_steps(model.optimizer, self._lost)
        self._lower(factor, numbers)
        rescue = Rescue(step, cause, self._rate.factor, lost)
        self._made.append(rescue)
        self._rescued(rescue)
        warnings.warn(f"DivergenceGuard: {rescue.description}", stacklevel=2)
        logs = self._healthy_logs()
        if result is None or (at_end and not same_epoch):
            newest = model.get_metrics_result() if same_epoch and state.position.batches else logs
            self._corrected = {name: float(value) for name, value in newest.items()}
        if result is None:
            return None
        return step_state.result_with_state(model, (logs, result[1]) if backends.is_functional() else logs)

    def _lower(self, factor: float, numbers: list[float | None]) -> None:
        """Continue with a factor on the learning rate, at the steps that were lost."""
        # With gradient accumulation, rounded up, so that the last update has the last rate.
        updates = steps_per_update(self._model.optimizer)
        self._rate.apply(factor, -(-self._lost // updates) * updates, numbers)

    def _restore(self, state: GoodState) -> bool:
        """Restore a state and return whether it is of this epoch."""
        same_epoch = state.position.epoch == self._losses.epoch
        state.restore(metrics=same_epoch and state.position.batches > 0)
        self._losses.restored(state.position)
        self._rule.go_back(state.position.step)
        self._batches.clear()
        self._skipped = 0
        return same_epoch

    def _cause(self, reason: str, step: int) -> tuple[str, float | None]:
        """Return the reason of a rescue and the factor on the rate afterwards; None to give up."""
        bad_batch = self._batches.fault() or self._losses.bad_batch()
        if bad_batch is not None:
            self._bad_batches += 1
            if self._bad_batches <= MAX_BAD_BATCHES:
                return f"{reason}, since {bad_batch}", self._rate.factor
            return f"{reason}, since {bad_batch}, in {self._bad_batches} rescues in a row", None
        if self._counted >= self._max_rescues:
            return reason, None
        self._bad_batches = 0
        self._counted += 1
        known = self._batches.are_known or self._losses.knows_batches
        if EXPLODED in reason or known or not self._was_calm(step):
            return reason, self._lowered(step)
        self._losses.record_batches()
        remake_train_function(self._model)
        return f"{reason}, perhaps for a bad batch, since nothing announced it", self._rate.factor

    def _was_calm(self, step: int) -> bool:
        """Return whether nothing announced the divergence, and the last rescue is long past."""
        assert self._states is not None
        return not self._rule.suspects and (not self._made or step > self._made[-1].step + 2 * self._states.interval)

    def _lowered(self, step: int) -> float:
        """Return the factor with which the largest rate of what remains is half that of a step."""
        states, factor, now = self._states, self._rate.factor, self._first + self._losses.steps
        assert states is not None
        rest = np.unique(np.linspace(now, max(self._first + self._total - 1, now), 200).round().astype(int))
        largest = max(self._rate.rate(int(one)) for one in rest)
        ratio = self._rate.rate(self._first + step) / largest if largest > 0 else 1.0
        return factor * LOWERING ** (1 + states.repeated) * min(1.0, ratio)

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
        return DivergenceError(
            f"Training diverged, after {len(self._made)} rescues. {reason} The model has its state after step "
            f"{best.position.step} again{'' if math.isinf(best.level) else f', with a loss of {best.level:.4g}'}. "
            "Train with a lower learning rate, check the data for bad values, or raise `max_rescues`."
        )
