"""The rule that stops a range test when its loss diverges."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import numpy as np

from onecycle.suggestions.smoothing import MAD_TO_DEVIATION, Array

DESCENT_FACTOR = 2.0  # ours: such a rise is clearly more than the whole descent
NOISE_FACTOR = 10.0  # ours: far outside the batch noise, even where that has heavy tails
LEVEL_FACTOR = 0.5  # ours: tolerates a small hump; fastai stops at 4 times the best loss, which is a factor of 3
LEVEL_WINDOW = 5  # ours: three bad batches are needed to move a median over five
FLOAT_RESOLUTION = 1.2e-7  # of float32: a loss of exactly 0 may rise by rounding
FIRST_CHECK = 2 * LEVEL_WINDOW  # ours: the first window gives the initial level, the second shows a change


class StopReason(Enum):
    """Why a range test ended. The value is a sentence for the user.

    The design follows `RESULTS` of optimistix.
    """

    DIVERGED = "The loss diverged, so the ramp was stopped before its end."
    NON_FINITE = "The loss became NaN or infinite, so the ramp was stopped before its end."
    COMPLETED = "The ramp reached its end and the loss never diverged. Without a suggestion, raise `max_learning_rate`."
    DATA_ENDED = "The data or the `fit` ended before the ramp: pass more data or epochs, or lower `num_steps`."


class DivergenceRule:
    """Decides while a range test runs whether its loss has diverged.

    The rule stops at the first non-finite loss. It also stops when the median of the last five losses exceeds the
    lowest such median so far by more than the largest of three margins: twice the descent so far, ten times the batch
    noise, and half the size of the initial loss. Unlike "four times the best loss" this works for negative losses and
    for losses near zero. Single bad batches do not stop the test, and a high initial loss only raises the threshold.

    Example:

    ```python
    rule = DivergenceRule()
    for losses in chunks:  # each chunk holds some of the true per-batch losses
        reason = rule.update(losses)
        if reason is not None:
            break
    ```

    Attributes:
        stop_reason: The reason to stop, or None.
        stopped_at: Step of the loss that stopped the test, counted from 0 over all chunks, or None.
    """

    def __init__(self) -> None:
        self.stop_reason: StopReason | None = None
        self.stopped_at: int | None = None
        self._losses: list[float] = []
        self._initial = self._lowest = np.inf
        self._noise, self._noise_valid_until = 0.0, 0

    def update(self, losses: float | Iterable[float]) -> StopReason | None:
        """Add one or more per-batch losses and return the reason to stop, or None.

        After a reason has been returned, further losses are ignored and the reason stays the same.

        Args:
            losses: The next losses, in order.
        """
        if self.stop_reason is not None:
            return self.stop_reason
        new = np.atleast_1d(np.asarray(losses, dtype=np.float64)).ravel()
        finite = int(np.argmin(np.isfinite(new))) if not np.isfinite(new).all() else len(new)
        self._check(new[:finite])
        if self.stop_reason is None and finite < len(new):
            self.stop_reason, self.stopped_at = StopReason.NON_FINITE, len(self._losses)
        return self.stop_reason

    def _check(self, new: Array) -> None:
        """Compare the level (the running median) after each new finite loss with the lowest level before it."""
        first = max(len(self._losses), LEVEL_WINDOW - 1)  # step of the first new level
        self._losses += new.tolist()
        if len(self._losses) <= first:
            return
        windows = np.lib.stride_tricks.sliding_window_view(self._losses[first - LEVEL_WINDOW + 1 :], LEVEL_WINDOW)
        levels = np.sort(windows, axis=1)[:, LEVEL_WINDOW // 2]
        if first == LEVEL_WINDOW - 1:
            self._initial = float(levels[0])
        lowest = np.minimum.accumulate(np.append(self._lowest, levels))
        steps = first + np.arange(len(levels))
        # The batch noise is expensive to estimate, so it is estimated only where the other margins are exceeded.
        suspects = (steps >= FIRST_CHECK) & (levels > lowest[:-1] + self._margin_without_noise(lowest[:-1]))
        for k in np.flatnonzero(suspects):
            if levels[k] > lowest[k] + NOISE_FACTOR * self._batch_noise(int(steps[k])):
                self.stop_reason, self.stopped_at = StopReason.DIVERGED, int(steps[k])
                break
        self._lowest = float(lowest[-1])

    def _margin_without_noise(self, lowest: Array) -> Array:
        of_level = max(LEVEL_FACTOR * abs(self._initial), FLOAT_RESOLUTION)
        return np.maximum(DESCENT_FACTOR * (self._initial - lowest), of_level)

    def _batch_noise(self, step: int) -> float:
        # The estimate is renewed once there are an eighth more losses: a median at every suspect step would take as
        # long as a training step.
        if step >= self._noise_valid_until:
            # The last window is left out: the loss may already be diverging there.
            differences = np.abs(np.diff(self._losses[: step + 1 - LEVEL_WINDOW]))
            self._noise = MAD_TO_DEVIATION * float(np.median(differences)) / float(np.sqrt(2))
            self._noise_valid_until = step + max(1, step // 8)
        return self._noise
