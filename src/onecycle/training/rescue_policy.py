"""What follows from a divergence: the reason that is given, and the learning rate of what remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from onecycle.hyperparameters.lowering import LoweredRate
from onecycle.keras_support.loss_stream import LossStream
from onecycle.keras_support.recent_batches import RecentBatches
from onecycle.results.rescue import Rescue
from onecycle.suggestions.explosion import ExplosionRule
from onecycle.training.fault_watch import Fault
from onecycle.training.good_states import GoodStates

LOWERING = 1 / 3  # ours: of the rate at which training diverged, which it was not stable at for some steps already
MAX_BAD_IN_A_ROW = 10  # without a good state in between: then hardly any batch is good
MAX_BAD_SHARE = (
    0.5  # ours: of the steps of the training undone because of bad batches; then the data has to be repaired
)
MAX_GUESSED = 3  # in a row, where it is only known that some rows are bad


@dataclass(frozen=True)
class Decision:
    """What a rescue does.

    Attributes:
        cause: The reason to give, in words.
        factor: Factor on the learning rate of what remains; None to give up.
        of_bad_batch: Whether a batch with bad values was the reason.
        records: Whether the batches have to be recorded from now on, to know the next time.
    """

    cause: str
    factor: float | None
    of_bad_batch: bool = False
    records: bool = False


class RescuePolicy:
    """Counts the rescues of one `fit` and decides what the next one does.

    Args:
        rate: The learning rate of the training.
        losses: Its losses.
        batches: Its last batches.
        rule: The rule by which its loss has exploded.
        max_rescues: Number of rescues that lower the rate.
        first_step: The optimizer's step at the start of the training.
        total_steps: Length of the training.
        made: The rescues of the run that this one continues.
        steps_before: The steps that it made, from whose start the steps of rescues are counted.

    Attributes:
        made: The rescues so far.
        bad_batches: How many of them had a batch with bad values as their reason.
    """

    def __init__(
        self, rate: LoweredRate, losses: LossStream, batches: RecentBatches, rule: ExplosionRule, *,
        max_rescues: int, first_step: int, total_steps: int, made: Sequence[Rescue] = (), steps_before: int = 0,
    ) -> None:  # fmt: skip
        self._rate, self._losses, self._batches, self._rule = rate, losses, batches, rule
        self._max_rescues, self._first, self._total_steps = max_rescues, first_step, total_steps
        self.made, self._steps_before = list(made), steps_before
        factors = [1.0, *(one.learning_rate_factor for one in made)]
        self._lowered = sum(now != before for before, now in pairwise(factors))
        self.bad_batches = self._in_a_row = self._lost_to_bad = 0
        self._kept: int | None = None

    def decide(self, fault: Fault, states: GoodStates) -> Decision:
        """Decide what follows from a fault.

        Args:
            fault: The fault.
            states: The good states.
        """
        is_nan = fault.kind == "not finite"
        bad = self._batches.fault(finite_loss=not is_nan) or (self._losses.recorded.bad_batch() if is_nan else None)
        if bad is not None and fault.kind != "damaged":
            decision = self._bad_batch(f"{fault.reason}, since {bad}", states.kept)
            if decision is not None:
                states.keep_often()
                return decision
        if self.is_exhausted:
            return Decision(fault.reason, None)
        self._lowered += 1
        known = self._batches.are_known or self._losses.recorded.has_facts
        if not is_nan or known or not self._was_calm(fault.step, states):
            return Decision(fault.reason, self._lower(fault.step, states.repeated))
        cause = f"{fault.reason}, perhaps for a bad batch, since nothing announced it"
        return Decision(cause, self._rate.factor, records=True)

    @property
    def is_exhausted(self) -> bool:
        """Whether the next rescue that lowers the rate would be one too many."""
        return self._lowered >= self._max_rescues

    def _bad_batch(self, cause: str, kept: int) -> Decision | None:
        """Skip a bad batch, or give up.

        Args:
            cause: The reason to give.
            kept: Number of good states kept so far.

        Returns:
            None where bad rows are only known to be somewhere in the data, and have been blamed too often.
        """
        self._in_a_row = self._in_a_row + 1 if self._kept == kept else 1
        self._kept = kept
        if self._in_a_row > MAX_GUESSED and not (self._batches.are_kept or self._losses.recorded.has_facts):
            return None
        if self._in_a_row > MAX_BAD_IN_A_ROW:
            return Decision(f"{cause}, in {self._in_a_row} rescues in a row", None)
        if self._lost_to_bad > MAX_BAD_SHARE * self._total_steps:
            return Decision(f"{cause}. {self._lost_to_bad} steps were undone for such batches", None)
        self.bad_batches += 1
        return Decision(cause, self._rate.factor, of_bad_batch=True)

    def _was_calm(self, step: int, states: GoodStates) -> bool:
        """Return whether nothing announced the divergence, and the last rescue is long past."""
        return not self._rule.suspects and (
            not self.made or self._steps_before + step > self.made[-1].step + 2 * states.interval
        )

    def _lower(self, step: int, repeated: int) -> float:
        """Return the factor with which the largest rate of what remains is a third of that of a step."""
        now, last = self._first + self._losses.steps, self._first + self._total_steps - 1
        rest = np.unique(np.linspace(now, max(now, last), 200).round().astype(int))
        largest = max(self._rate.rate(int(one)) for one in rest)
        ratio = self._rate.rate(self._first + step) / largest if largest > 0 else 1.0
        return self._rate.factor * LOWERING ** (1 + min(repeated, 1)) * min(1.0, ratio)

    def rate_relative_to(self, step: int, factor: float) -> float:
        """Return the rate of now, with a new factor, relative to that of an earlier step; at most 1.

        Args:
            step: The earlier step, counted from 0 at the start of the training.
            factor: The new factor.
        """
        in_run = self._steps_before + step
        before = next((one.learning_rate_factor for one in reversed(self.made) if one.step < in_run), 1.0)
        then = before * self._rate.rate(self._first + step)
        now = factor * self._rate.rate(self._first + self._losses.steps)
        return min(1.0, now / then) if then > 0 else 1.0

    def add(self, rescue: Rescue, *, of_bad_batch: bool) -> bool:
        """Add a rescue and return whether the user should be warned of it now."""
        self.made.append(rescue)
        if of_bad_batch:
            self._lost_to_bad += rescue.lost_steps
        return not of_bad_batch or self.bad_batches == 1

    @property
    def closing_words(self) -> str | None:
        """What the user should know when training has ended, beyond the warnings before; None if nothing."""
        if self.bad_batches < 2:
            return None
        return (
            f"{self.bad_batches} batches with bad values were skipped in all, and {self._lost_to_bad} steps undone. "
            "`rescues` has each of them."
        )
