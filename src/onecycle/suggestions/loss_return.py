"""Whether a training's loss comes back to what it was, after an extreme loss or a rescue."""

from __future__ import annotations

from collections import deque

import numpy as np

BACK_WITHIN = 12  # ours: losses, single ones or means of a few; their median is back unless the network is damaged


class LossReturn:
    """Follows the losses after an extreme one, or after a rescue, until they are back.

    A single extreme loss, or a divergence that was seen late, may leave a network that is damaged, such as one whose
    units are dead. Its losses are finite and not extreme, and stay far above those before.

    Attributes:
        level: Up to where a loss is back; None where nothing is expected.
    """

    def __init__(self) -> None:
        self.level: float | None = None
        self._always, self._from = False, 0
        self._recent: deque[tuple[float, int]] = deque(maxlen=BACK_WITHIN)

    def expect(self, level: float, *, always: bool = False, from_step: int = 0) -> None:
        """Expect that the next losses come back to a level.

        Args:
            level: The level. Infinity expects nothing.
            always: Whether the losses also have to stay there for the rest of the training.
            from_step: The first step whose loss counts.
        """
        self.forget()
        if np.isfinite(level):
            self.level, self._always, self._from = level, always, from_step

    def forget(self) -> None:
        """Expect nothing any more."""
        self.level, self._always = None, False
        self._recent.clear()

    def restart(self) -> None:
        """Wait for as many losses again, since a state was restored."""
        self._recent.clear()

    def add(self, loss: float, step: int) -> None:
        """Add the loss of a step, or the mean loss of a few."""
        if self.level is None or step < self._from:
            return
        self._recent.append((loss, step))
        if len(self._recent) == BACK_WITHIN and self.away_since is None and not self._always:
            self.forget()

    @property
    def is_pending(self) -> bool:
        """Whether losses are expected to be at the level and have not been there lately."""
        if self.level is None:
            return False
        return not self._recent or float(np.median([loss for loss, _ in self._recent])) > self.level

    @property
    def away_since(self) -> int | None:
        """The first of the last steps if their losses should be back and are not; None otherwise."""
        if self.level is None or len(self._recent) < BACK_WITHIN:
            return None
        losses = [loss for loss, _ in self._recent]
        return self._recent[0][1] if float(np.median(losses)) > self.level else None
