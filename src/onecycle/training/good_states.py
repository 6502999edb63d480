"""The good states that a guard keeps, the newest of which may turn out not to be good."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from onecycle.keras_support.loss_stream import LossStream, Position
from onecycle.keras_support.state_copies import StateCopies, StateCopy
from onecycle.keras_support.types import Nested

PARTS = 64  # ours: of the training between two states, so that a rescue undoes a few hundredths of it at most
MIN_INTERVAL, MAX_INTERVAL = 8, 1000  # steps: a state takes about as long as a step
RECENT = 0.5  # of an interval: a younger state may be one in which the divergence has begun
OLD = 4  # intervals
WORSE = 0.25  # ours: of the loss of a state; one with a loss that is higher by more may be damaged already
OFTEN = 4  # steps, where batches have bad values
START_AGE = 1 / 3  # ours: of the training; until then, a training that diverges begins anew
LAST_START = 3 / 4  # ours: of the training; what has learned nothing may begin anew until then
MAX_AGE = 1 / 8  # ours: of the training; going back further would lose more than it saves


@dataclass(eq=False)
class GoodState:
    """A state that was kept.

    Attributes:
        owner: What made the copy.
        copy: The values.
        position: Where the training was.
        level: The usual loss at that time; minus infinity for the state at the start.
        checked: Whether its values are known to be finite.
        failed: Whether the training diverged again after it was restored.
        abandoned: Whether the training went back to an earlier state. Only `best` still returns it.
    """

    owner: StateCopies
    copy: StateCopy
    position: Position
    level: float
    checked: bool = False
    failed: bool = False
    abandoned: bool = False

    @property
    def counter(self) -> int:
        """The optimizer's step counter."""
        return self.owner.step(self.copy)

    @property
    def is_start(self) -> bool:
        """Whether it is the state before the first step."""
        return self.level == -math.inf

    def restore(self, *, metrics: bool) -> None:
        """Give the model this state, with its metrics or with metrics that begin anew."""
        self.owner.restore(self.copy, metrics=metrics)


class GoodStates:
    """Up to two states: the newest one, and the one with the lowest loss among those before that are not too old.

    The newest is where a rescue goes first. If training diverges again from there, or does not come back to the loss
    that it had, the other one is next.

    Args:
        model: The model whose `fit` runs.
        losses: The losses of the `fit`, before its first step.
        most: Largest number of states in memory, or None for two, or one where memory is short.
        total_steps: Length of the training.
        learned_below: A loss below this is that of a network that has learned something. Until then the state at the
            start is kept, which is as good as a later one, and not damaged.

    Attributes:
        interval: Number of steps between two states.
        kept: Number of states that were kept so far.
        repeated: Number of times that the training diverged since a state was last kept.
    """

    def __init__(
        self,
        model: keras.Model,
        losses: LossStream,
        *,
        most: int | None,
        total_steps: int,
        learned_below: float = math.inf,
    ) -> None:
        self._model, self._copies = model, StateCopies(model)
        self._losses, self._most = losses, _states_that_fit(self._copies) if most is None else most
        self.interval = min(max(total_steps // PARTS, MIN_INTERVAL), MAX_INTERVAL)
        self._states = [GoodState(self._copies, self._copies.take(), losses.position(), -float("inf"), checked=True)]
        self._every = self.interval
        self._max_age = max(MAX_AGE * total_steps, 2 * self.interval)
        self._start_age, self._last_start = START_AGE * total_steps, LAST_START * total_steps
        self._learned_below = learned_below
        self._newest_at = 0
        self.repeated = self.kept = 0

    @property
    def due_at(self) -> int:
        """The step at which a state should be kept."""
        return self._newest_at + self._every

    def keep_often(self) -> None:
        """Keep states so often from now on that a batch with bad values costs only a few steps."""
        self._every = min(OFTEN, self.interval)

    @property
    def is_old(self) -> bool:
        """Whether the newest state is so old that a worse one is better than it."""
        return self._losses.steps >= self._states[-1].position.step + OLD * self.interval

    @property
    def is_current(self) -> bool:
        """Whether the newest state is that of now."""
        return self._states[-1].position.step == self._losses.steps

    def keep(self, level: float, result: Nested) -> str | None:
        """Keep the present state. All losses so far must have been read.

        Args:
            level: The loss.
            result: What the training function has just returned, or None.

        Returns:
            What is not finite in the state before, or in this one if there is memory for one only.
        """
        fault = self.fault()
        if fault is not None:
            return fault
        self._newest_at = self._losses.steps
        if self._copies.are_outdated:
            self._copies = StateCopies(self._model)
        checks = self._most == 1
        if checks:
            faults = self._copies.current_faults(result)
            if faults:
                return _described(faults)
            self._states.clear()  # first, so that there are not two of them
        elif len(self._states) == self._most:
            superfluous = self._superfluous()
            # Beside the state of the start there is one good state only, which a bad one must not replace.
            checks = superfluous == 1 and self._states[0].is_start
            faults = self._copies.current_faults(result) if checks else []
            if faults:
                return _described(faults)
            del self._states[superfluous]
        copy, position = self._copies.take(result), self._losses.position()
        self.repeated = 0
        self.kept += 1
        self._states.append(GoodState(self._copies, copy, position, level, checked=checks))
        return None

    def _superfluous(self) -> int:
        """Return which of the two states to give up for a new one."""
        before, newest = self._states
        if newest.abandoned:
            return 1
        if before.is_start and newest.level >= self._learned_below and self._losses.steps < self._last_start:
            return 1
        if before.failed or newest.failed:
            return 0 if before.failed else 1
        age = self._losses.steps - before.position.step
        if before.is_start:
            return 0 if age > self._start_age else 1
        return 0 if age > self._max_age or newest.level <= before.level else 1

    def fault(self) -> str | None:
        """Return what is not finite in the newest state, or None. It waits for the state."""
        newest = self._states[-1]
        if newest.checked:
            return None
        faults = newest.owner.faults(newest.copy)
        if faults:
            del self._states[-1]
            return _described(faults)
        newest.checked = True
        return None

    def current_fault(self, result: Nested) -> str | None:
        """Return what is not finite in the present state, or None."""
        faults = self._copies.current_faults(result)
        return _described(faults) if faults else None

    def choose(self, first_bad: int, *, cautious: bool, highest: float) -> GoodState:
        """Return the state to go back to, and forget those after the first bad step.

        Args:
            first_bad: The first step that was bad.
            cautious: Whether the divergence may have begun before it, unnoticed. A state from shortly before is then
                left out, and so is one that led to a divergence already.
            highest: A state with a higher loss is left out then too.
        """
        self.fault()
        self._states = [one for one in self._states if one.position.step <= first_bad] or self._states[:1]
        usable = [one for one in self._states if not one.abandoned]
        chosen = usable[-1]
        if cautious:
            latest = first_bad - RECENT * self.interval
            good = [one for one in usable if one.position.step <= latest and one.level <= highest]
            # Where there is no other, the rate may just not have been low enough.
            chosen = self._better([one for one in good if not one.failed] or usable[:1])
            chosen.failed = True
            self.repeated += 1
            for later in self._states[self._states.index(chosen) + 1 :]:
                later.abandoned = True
        self._newest_at = self._losses.steps
        return chosen

    def _better(self, states: list[GoodState]) -> GoodState:
        """Return the newest state, or the one before if it is that of the start or had a much lower loss."""
        before, newest = states[0], states[-1]
        # What has been learned early at too high a rate is little, and may be bad.
        starts = before.is_start and self._losses.steps < self._last_start
        return before if starts or newest.level - before.level > WORSE * abs(before.level) else newest

    def best(self) -> GoodState:
        """Return the state with the lowest loss, or the one of the start if there is no other."""
        self.fault()
        return min(self._states, key=lambda one: one.level if math.isfinite(one.level) else math.inf)


def _states_that_fit(copies: StateCopies) -> int:
    """Return 1 where the memory is too short for two states and the copy that JAX makes when it restores one."""
    free = copies.free_bytes
    return 1 if free is not None and free < 3 * copies.bytes_of_one else 2


def _described(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more variables" if len(paths) > 1 else ""
    return f"{paths[0]}{more} became NaN or infinite"
