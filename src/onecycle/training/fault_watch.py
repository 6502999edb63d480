"""What the guard takes for a divergence: of the losses, and of the values in the model's state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support.loss_stream import Loss, LossStream
from onecycle.keras_support.optimizers import skips_updates
from onecycle.suggestions.explosion import ExplosionRule
from onecycle.training.good_states import GoodStates

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested

MAX_SKIPPED = 3  # in a row with a loss that is not finite, which no loss scale can help
RETURN_LOOK = 8  # steps between two looks where the loss has to come back


@dataclass(frozen=True)
class Fault:
    """A sign of divergence.

    Attributes:
        reason: What was seen, in words.
        step: The first step at which it was.
        kind: "not finite", "exploded" or "damaged", that is a loss that does not come back.
    """

    reason: str
    step: int
    kind: str = "not finite"


class FaultWatch:
    """Judges what has happened in a `fit` since the last look.

    Args:
        model: The model whose `fit` runs.
        losses: Its losses.
        rule: The rule by which they have exploded.
    """

    def __init__(self, model: keras.Model, losses: LossStream, rule: ExplosionRule) -> None:
        self._model, self._losses, self._rule = model, losses, rule
        self._skipped = 0

    def restored(self, step: int, *, lowered: bool) -> None:
        """Go on after the state of a step was restored."""
        now = self._losses.steps if lowered else None
        self._rule.go_back(step, lowered_at=now)
        self._skipped = 0

    def plan(self, states: GoodStates, *, each: bool) -> None:
        """Set when to look next.

        Args:
            states: The good states.
            each: Whether to look after each step in any case.
        """
        look_at, rule = states.due_at, self._rule
        if rule.expects_return:
            look_at = min(look_at, self._losses.steps + RETURN_LOOK)
        self._losses.plan(each=each or rule.suspects, above=rule.suspicious_above, look_at=look_at)

    def of_losses(self, losses: list[Loss], states: GoodStates, result: Nested) -> Fault | None:
        """Return what is wrong with the new losses, or None.

        Args:
            losses: The losses.
            states: The good states.
            result: What the training function has just returned, or None when the epoch has ended.
        """
        for loss in losses:
            if not math.isfinite(loss.value):
                self._skipped += 1
                if self._skipped > MAX_SKIPPED or not self._was_skipped(states, result):
                    return Fault("the loss became NaN or infinite", loss.step - self._skipped + 1)
                continue
            self._skipped = 0
            if self._rule.check(loss.value, loss.step):
                first = loss.step - self._rule.high_steps + 1
                return Fault(f"the loss exploded to {loss.value:.3g}", first, "exploded")
        away_since = self._rule.away_since
        if away_since is None:
            return None
        return Fault(self._rule.away_reason, away_since, "damaged")

    def accept_damage(self) -> None:
        """Accept a loss that does not come back."""
        self._rule.expect_nothing()

    def of_state(self, losses: list[Loss], states: GoodStates, result: Nested, *, checks: bool) -> Fault | None:
        """Keep the state where that is due and return what is not finite in it, or None.

        Args:
            losses: The new losses.
            states: The good states.
            result: What the training function has just returned, or None when the epoch has ended.
            checks: Whether the present state has to be examined in any case.
        """
        if self._rule.high_steps or not losses:
            return None
        is_good = not self._rule.is_pending and (losses[-1].value <= self._rule.normal_up_to or states.is_old)
        fault = states.fault()
        if fault is None and is_good and states.due_at <= self._losses.steps:
            fault = states.keep(self._rule.level, result)
        if fault is None and checks:
            fault = states.fault() or (None if states.is_current else states.current_fault(result))
        return None if fault is None else Fault(fault, self._losses.steps - 1)

    def _was_skipped(self, states: GoodStates, result: Nested) -> bool:
        """Return whether loss scaling has skipped the update of a batch whose loss is not finite."""
        return skips_updates(self._model.optimizer) and not states.current_fault(result)
