"""The loss curve of a range test, with the properties that the suggestion rules need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from onecycle.suggestions import smoothing
from onecycle.suggestions.arguments import check_numbers
from onecycle.suggestions.smoothing import Array

MIN_POINTS = 10  # ours: with fewer points neither the noise nor the initial loss can be estimated
# Ours: the loss has regained a twentieth of its descent. With a fifth, a CNN that died on CIFAR-10 (its loss only
# returned to that of random guessing) was detected at ten times the rate, and at the peak picked then it died too.
RISE_FRACTION = 0.05
RISE_ERRORS = 5.5  # ours: standard errors of the smoothed loss; the minimum of a noisy valley lies about 2 too low
RISE_WINDOWS = 2  # ours: a rise must hold for most of this many smoothing windows, or until the end
RISE_STEPS = 3  # ours: fewer steps than this at the very end do not count as a rise
DESCENT_ERRORS = 9.0  # ours: pure noise descends by up to 7 standard errors in 99 of 100 runs, a CNN on CIFAR-10 by 10
START_FRACTION = 0.05  # ours: the part of the curve whose median is the initial loss
FLOAT_NOISE = 1e-6  # ours: smaller relative changes are rounding errors of a float32 loss
SKIP_START = 10  # fastai 2.8.12, `lr_find`: drops the first n // 10 points
SKIP_END = 5  # fastai 2.8.12, `lr_find`: drops the last 5 points


@dataclass(frozen=True)
class LossCurve:
    """The losses of a range test over its learning rates.

    Attributes:
        all_rates: Float array, `(n,)`, rate of every step.
        all_losses: Float array, `(n,)`, loss of every step, the median over repeats; may hold NaN and infinities.
        rates: Float array, `(m,)`, rates of the steps with a finite loss.
        smoothed: Float array, `(m,)`, smoothed loss at `rates`.
        noise: Standard deviation of the batch noise, in units of the loss.
        problem: A sentence on why no rule can suggest a rate, or "".
    """

    all_rates: Array
    all_losses: Array
    rates: Array
    smoothed: Array
    noise: float
    problem: str

    @classmethod
    def from_losses(cls, learning_rates: ArrayLike, losses: ArrayLike) -> LossCurve:
        """Return the curve of a range test.

        Args:
            learning_rates: Float array, `(n,)`, positive and strictly increasing.
            losses: Float array, `(n,)` or `(repeats, n)`, true per-batch losses. NaN and infinities are allowed.

        Raises:
            ValueError: If the rates do not increase or the shapes do not match.
        """
        rates, medians = _checked(learning_rates, losses)
        finite = np.isfinite(medians)
        noise = max(smoothing.noise_scale(medians), 0.0)
        smoothed = smoothing.smooth(medians)[finite]
        return cls(rates, medians, rates[finite], smoothed, noise, _problem(medians))

    @property
    def last_rate(self) -> float:
        """The highest rate."""
        return float(self.all_rates[-1])

    @property
    def lowest(self) -> int:
        """Index in `rates` of the lowest smoothed loss."""
        return int(np.argmin(self.smoothed))

    @property
    def initial_loss(self) -> float:
        """Level of the loss at the start of the ramp."""
        values = self.all_losses[np.isfinite(self.all_losses)]
        return float(np.median(values[: max(RISE_STEPS, round(START_FRACTION * len(values)))]))

    @property
    def descent(self) -> float:
        """Difference between the initial loss and the lowest smoothed loss; at least 0."""
        return max(0.0, self.initial_loss - float(self.smoothed.min()))

    @property
    def standard_error(self) -> float:
        """Standard error of the smoothed loss, from the batch noise and the number of losses in a window."""
        return self.noise / float(np.sqrt(self._window))

    @property
    def no_descent(self) -> str:
        """Advice, as a sentence, if the loss never fell; else ""."""
        if self.descent > max(DESCENT_ERRORS * self.standard_error, FLOAT_NOISE * abs(self.initial_loss)):
            return ""
        return (
            "The loss never fell clearly below its starting level: use more `num_steps` or `repeats`, "
            "or a wider range of rates."
        )

    @property
    def still_falling(self) -> str:
        """Advice, as a sentence, if the loss is lowest at the end; else ""."""
        if self.lowest < len(self.rates) - RISE_STEPS or len(self.rates) < len(self.all_rates):
            return ""
        return f"The loss was still falling at the end, {self.last_rate:.3g}: raise `max_learning_rate`."

    def blow_up_step(self) -> int | None:
        """Return the index in `all_rates` of the blow-up, where the smoothed loss shoots up, or None."""
        # The minimum of a curve that never fell is arbitrary, so a rise after it has to be as large as a descent.
        errors = DESCENT_ERRORS if self.no_descent else RISE_ERRORS
        rise = max(
            RISE_FRACTION * self.descent,
            errors * self.standard_error,
            FLOAT_NOISE * abs(self.initial_loss),
        )
        above = self.smoothed > float(self.smoothed.min()) + rise
        span = RISE_WINDOWS * self._window
        finite = np.flatnonzero(np.isfinite(self.all_losses))
        for step in np.flatnonzero(above):
            following = above[step : step + span]
            if step > self.lowest and len(following) >= RISE_STEPS and 2 * following.sum() > len(following):
                return int(finite[step])
        # Without a rise, the loss shoots up where it stops being finite, if it does.
        return int(finite[-1]) + 1 if finite[-1] + 1 < len(self.all_rates) else None

    def as_fastai(self) -> tuple[Array, Array]:
        """Return the rates and averaged losses that fastai's `lr_find` passes to its rules."""
        averaged = smoothing.exponential_moving_average(self.all_losses)
        middle = slice(len(averaged) // SKIP_START, max(0, len(averaged) - SKIP_END))
        finite = np.isfinite(averaged[middle])
        return self.all_rates[middle][finite], averaged[middle][finite]

    @property
    def _window(self) -> int:
        """Number of losses in a smoothing window."""
        return 2 * smoothing.half_window(len(self.rates)) + 1


def _checked(learning_rates: ArrayLike, losses: ArrayLike) -> tuple[Array, Array]:
    rates = check_numbers("learning_rates", learning_rates)
    medians = smoothing.median_over_repeats(losses)
    if rates.shape != medians.shape:
        raise ValueError(
            "Arguments `learning_rates` and `losses` must have the same number of steps. "
            f"Received: learning_rates of shape {rates.shape}, losses of shape {np.shape(losses)}"
        )
    if not np.all(np.isfinite(rates)) or np.any(rates <= 0) or np.any(np.diff(rates) <= 0):
        raise ValueError(
            "Argument `learning_rates` must be finite, positive and strictly increasing. "
            f"Received: learning_rates={np.array2string(rates, threshold=8, edgeitems=3)}"
        )
    return rates, medians


def _problem(losses: Array) -> str:
    values = losses[np.isfinite(losses)]
    if len(values) < MIN_POINTS:
        return (
            f"There are {len(values)} finite losses and at least {MIN_POINTS} are needed: raise `num_steps`, "
            "pass more data, or lower `min_learning_rate` if the loss became NaN."
        )
    if np.ptp(values) <= FLOAT_NOISE * np.abs(values).max():
        return "The loss is constant: it does not depend on the learning rate, or no weight is trainable."
    return ""
