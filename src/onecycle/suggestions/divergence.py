"""Smoothing of noisy per-batch losses, and the rule that stops a range test when its loss diverges."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import numpy as np

from onecycle.suggestions.smoothing import NORMAL_MAD, Array

DESCENT_FACTOR = 2.0  # ours: a loss this many descents above the best has lost more than it ever gained


NOISE_FACTOR = 10.0  # ours: far outside batch noise, also for heavy tails


LEVEL_FACTOR = 0.5  # ours: lets a small hump pass; fastai asks for 4 times the best, i.e. a factor of 3


LEVEL_WINDOW = 5  # ours: a median over five batches needs three bad ones to move


FLOAT_RESOLUTION = 1.2e-7  # of float32: a loss of exactly 0 may rise by rounding


FIRST_VERDICT = 2 * LEVEL_WINDOW  # ours: one window to know where the loss began, one to see it move


class StopReason(Enum):
    """Why a range test ended; the value is a sentence for people.

    References: the idea of reasons that carry their text is optimistix' `RESULTS`.
    """

    DIVERGED = "The loss diverged, so the ramp was stopped before its end."
    NON_FINITE = "The loss became NaN or infinite, so the ramp was stopped before its end."
    COMPLETED = "The ramp reached its end and the loss never diverged: without a suggestion, raise `max_learning_rate`."
    DATA_ENDED = "The data or the fit ended before the ramp did: give more data, more epochs or fewer `num_steps`."


class DivergenceRule:
    """Decides, while a range test runs, whether its loss has diverged.

    It stops at the first non-finite loss, and when the median of the last five losses exceeds the best such
    median so far by more than the largest of: twice the descent seen so far, ten times the batch noise, and half
    the size of the loss at the start. Unlike "four times the best" this holds for negative losses and for losses
    near zero; single bad batches cannot trip it; a loss that starts high only raises the bar.

        rule = DivergenceRule()
        for losses in chunks:  # each a few true per-batch losses
            reason = rule.update(losses)
            if reason is not None:
                break  # rule.stopped_at is the step, counted from 0 over all chunks
    """

    def __init__(self) -> None:
        self.stop_reason: StopReason | None = None
        self.stopped_at: int | None = None
        self._losses: list[float] = []
        self._initial = self._best = np.inf
        self._noise, self._noise_due = 0.0, 0

    def update(self, losses: float | Iterable[float]) -> StopReason | None:
        """Takes the next true per-batch losses, one or many, and returns the reason to stop, or None.

        Once it has given a reason it keeps it and ignores further losses.
        """
        new = np.atleast_1d(np.asarray(losses, dtype=np.float64)).ravel()
        if self.stop_reason is not None:
            return self.stop_reason
        finite = int(np.argmin(np.isfinite(new))) if not np.isfinite(new).all() else len(new)
        self._take(new[:finite])
        if self.stop_reason is None and finite < len(new):
            self.stop_reason, self.stopped_at = StopReason.NON_FINITE, len(self._losses)
        return self.stop_reason

    def _take(self, new: Array) -> None:
        """Judge finite losses: each level against the best one before it."""
        first = max(len(self._losses), LEVEL_WINDOW - 1)  # the step of the first new level
        self._losses += new.tolist()
        if len(self._losses) <= first:
            return
        windows = np.lib.stride_tricks.sliding_window_view(self._losses[first - LEVEL_WINDOW + 1 :], LEVEL_WINDOW)
        levels = np.sort(windows, axis=1)[:, LEVEL_WINDOW // 2]
        if first == LEVEL_WINDOW - 1:
            self._initial = float(levels[0])
        best = np.minimum.accumulate(np.append(self._best, levels))
        steps = first + np.arange(len(levels))
        # The batch noise, which is dear, is asked only where the rest of the margin is passed: hardly ever.
        suspects = (steps >= FIRST_VERDICT) & (levels > best[:-1] + self._least_margin(best[:-1]))
        for k in np.flatnonzero(suspects):
            if levels[k] > best[k] + NOISE_FACTOR * self._batch_noise(int(steps[k])):
                self.stop_reason, self.stopped_at = StopReason.DIVERGED, int(steps[k])
                break
        self._best = float(best[-1])

    def _least_margin(self, best: Array) -> Array:
        least = max(LEVEL_FACTOR * abs(self._initial), FLOAT_RESOLUTION)
        return np.maximum(DESCENT_FACTOR * (self._initial - best), least)

    def _batch_noise(self, step: int) -> float:
        # Worked out anew when there are an eighth more losses: a median at every suspect would cost as much as a step.
        if step >= self._noise_due:
            # The last moves may already be the explosion, and would hide it by raising the noise.
            moves = np.abs(np.diff(self._losses[: step + 1 - LEVEL_WINDOW]))
            self._noise = NORMAL_MAD * float(np.median(moves)) / float(np.sqrt(2))
            self._noise_due = step + max(1, step // 8)
        return self._noise
