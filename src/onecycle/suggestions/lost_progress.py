"""Whether a training has lost what it had learned, or learns nothing since its loss was high."""

from __future__ import annotations

import math

AVERAGED = 16  # ours: steps; the average of fewer batches of 32 is too noisy to compare with guessing
SUSTAINED = 24  # ours: steps for which the average has to be high
CLEARLY_LEARNED = 0.75  # ours: of the loss of guessing, below which noise alone hardly brings the average
LOST = 0.8  # ours: of the way from the lowest average to guessing; healthy runs near the limit of stability stay below
LEARNED = 0.9  # ours: of the loss of guessing; a network with a lower loss has learned something
FALLING = 0.8  # ours: an average that falls by a fifth between two looks is still falling
HIGHEST = 3.0  # times the average or guessing, up to which a loss counts, so that one bad batch does not decide


class LostProgress:
    """Follows a running average of the losses, relative to the loss of guessing.

    Progress is lost if the average was clearly below that of guessing, and for 24 steps is back near it. A loss that
    was high, and afterwards neither falls nor comes below that of guessing, is that of a network that has died.

    Args:
        guessing: The loss of guessing, above 0; 0 if it is unknown, and then nothing is followed.
        patience: Number of steps after a high loss in which a network should learn something.

    Attributes:
        since: The first step at which progress was lost; None while it is not.
        reason: What was seen, in words.
    """

    def __init__(self, guessing: float, patience: int) -> None:
        self._guessing, self._patience = guessing, patience
        self.restart()

    def restart(self) -> None:
        """Forget all losses, since a state was restored."""
        self.since: int | None = None
        self.reason = ""
        self._average, self._lowest, self._last = math.nan, math.inf, -1
        self._begin, self._lost_from, self._high_from, self._high_at = 0, -1, -1, -1
        self._look_at, self._looked = -1, math.inf

    def ignore(self) -> None:
        """Follow nothing any more."""
        self._guessing = 0.0
        self.restart()

    def add(self, loss: float, step: int, *, high: bool) -> None:
        """Add the loss of a step, or the mean loss of the steps since the last one.

        Args:
            loss: The finite loss.
            step: The step.
            high: Whether it is suspiciously high.
        """
        guessing = self._guessing
        if not guessing:
            return
        if self._last < 0:
            self._average, self._begin, self._look_at = loss, step, step + self._patience
        else:
            loss = min(loss, HIGHEST * max(guessing, self._average))
            self._average += min(1.0, (step - self._last) / AVERAGED) * (loss - self._average)
        self._last = step
        if high:
            self._high_at = step
            if self._high_from < 0:
                self._high_from = step
        if step - self._begin < AVERAGED:
            return
        if self._average < self._lowest:
            self._lowest = self._average
        self._compare(step)
        if step >= self._look_at:
            self._look(step)

    def _compare(self, step: int) -> None:
        """Compare the average with the lowest one."""
        low, guessing = self._lowest, self._guessing
        if low > CLEARLY_LEARNED * guessing or self._average < low + LOST * (guessing - low):
            self._lost_from = -1
        elif self._lost_from < 0:
            self._lost_from = step
        elif step - self._lost_from >= SUSTAINED and self.since is None:
            self.since = self._lost_from
            self.reason = f"the loss rose to {self._average:.3g}, near that of guessing, and stays there"

    def _look(self, step: int) -> None:
        """Compare the average with that of the last look."""
        before, self._looked, self._look_at = self._looked, self._average, step + self._patience // 2
        was_high = 0 <= self._high_at <= step - self._patience
        learns = self._lowest < LEARNED * self._guessing or self._average < FALLING * before
        if was_high and not learns and math.isfinite(before) and self.since is None:
            self.since = self._high_from
            self.reason = f"the loss stays at {self._average:.3g}, no better than guessing, since it was high"
