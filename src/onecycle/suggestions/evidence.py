"""What the losses of a range test show, before any rule reads a rate off them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle.suggestions import smoothing

Array = NDArray[np.float64]

MIN_POINTS = 10  # ours: below this neither the noise nor the start of the curve can be told
# Ours: a twentieth of the descent lost again. At a fifth, a CNN that died on CIFAR-10 (its loss only went back to that
# of guessing) was noticed ten times too late, and trained at the rate then picked it died too.
RISE_FRACTION = 0.05
RISE_NOISES = 5.5  # ours: standard errors of the smoothed loss; the minimum of a noisy valley is itself about 2 low
RISE_WINDOWS = 2  # ours: a rise must last for most of so many smoothing windows, or until the end
RISE_STEPS = 3  # ours: fewer steps than this at the very end prove nothing
DESCENT_NOISES = 9.0  # ours: pure noise descends by up to 7 standard errors in 99 of 100 runs, a CNN on CIFAR-10 by 10
START_FRACTION = 0.05  # ours: the part of the curve that says where the loss began
FLOAT_NOISE = 1e-6  # ours: relative changes below this are rounding of a float32 loss
SKIP_START = 10  # fastai 2.8.12, `lr_find`: drops the first n // 10 points
SKIP_END = 5  # fastai 2.8.12, `lr_find`: drops the last 5 points


@dataclass(frozen=True)
class Evidence:
    """A range test as every rule sees it: its rates, its smoothed loss, where it fell and where it shot up.

    Attributes:
        all_rates: float array, (n,), rate of every step.
        all_losses: float array, (n,), loss of every step, the median over repeats; NaN and infinities allowed.
        rates: float array, (m,), rates of the steps with a finite loss.
        smoothed: float array, (m,), the smoothed loss at those.
        noise: standard deviation of the batch noise, in units of the loss.
        trouble: a sentence, why no rule can say anything; "" if they can.
    """

    all_rates: Array
    all_losses: Array
    rates: Array
    smoothed: Array
    noise: float
    trouble: str

    @classmethod
    def read(cls, learning_rates: ArrayLike, losses: ArrayLike) -> Evidence:
        rates, middle = _checked(learning_rates, losses)
        finite = np.isfinite(middle)
        noise = max(smoothing.noise_scale(middle), 0.0)
        smoothed = smoothing.smooth(middle)[finite]
        return cls(rates, middle, rates[finite], smoothed, noise, _trouble(middle))

    @property
    def last_rate(self) -> float:
        return float(self.all_rates[-1])

    @property
    def lowest(self) -> int:
        return int(np.argmin(self.smoothed))

    @property
    def initial(self) -> float:
        """The level of the loss at the start of the ramp."""
        values = self.all_losses[np.isfinite(self.all_losses)]
        return float(np.median(values[: max(RISE_STEPS, round(START_FRACTION * len(values)))]))

    @property
    def descent(self) -> float:
        return max(0.0, self.initial - float(self.smoothed.min()))

    @property
    def no_descent(self) -> str:
        if self.descent > max(DESCENT_NOISES * self.standard_error, FLOAT_NOISE * abs(self.initial)):
            return ""
        return (
            "The loss never fell clearly below its starting level: use more `num_steps` or `repeats`, "
            "or a wider range of rates."
        )

    @property
    def still_falling(self) -> str:
        if self.lowest < len(self.rates) - RISE_STEPS or len(self.rates) < len(self.all_rates):
            return ""
        return f"The loss was still falling at the end, {self.last_rate:.3g}: raise `max_learning_rate`."

    @property
    def standard_error(self) -> float:
        """Of the smoothed loss, from the batch noise and the number of losses in a smoothing window."""
        return self.noise / float(np.sqrt(2 * smoothing.half_window(len(self.rates)) + 1))

    def blow_up_step(self) -> int | None:
        """The index in `all_rates` of the first rate at which the smoothed loss shoots up."""
        floor = float(self.smoothed.min())
        # Of a curve that never fell the minimum is anywhere, so a wiggle after it has to be as large as a descent.
        noises = DESCENT_NOISES if self.no_descent else RISE_NOISES
        rise = max(
            RISE_FRACTION * self.descent,
            noises * self.standard_error,
            FLOAT_NOISE * abs(self.initial),
        )
        above = self.smoothed > floor + rise
        span = RISE_WINDOWS * (2 * smoothing.half_window(len(self.rates)) + 1)
        finite = np.flatnonzero(np.isfinite(self.all_losses))
        for step in np.flatnonzero(above):
            rest = above[step : step + span]
            if step > self.lowest and len(rest) >= RISE_STEPS and 2 * rest.sum() > len(rest):
                return int(finite[step])
        return int(finite[-1]) + 1 if finite[-1] + 1 < len(self.all_rates) else None

    def as_fastai(self) -> tuple[Array, Array]:
        """Rates and averaged losses as fastai's `lr_find` hands them to its rules."""
        averaged = smoothing.exponential_moving_average(self.all_losses)
        kept = slice(len(averaged) // SKIP_START, max(0, len(averaged) - SKIP_END))
        good = np.isfinite(averaged[kept])
        return self.all_rates[kept][good], averaged[kept][good]


def _checked(learning_rates: ArrayLike, losses: ArrayLike) -> tuple[Array, Array]:
    rates = np.asarray(learning_rates, dtype=np.float64)
    middle = smoothing.median_over_repeats(losses)
    if rates.shape != middle.shape:
        raise ValueError(
            "Arguments `learning_rates` and `losses` must have as many steps. "
            f"Received: learning_rates of shape {rates.shape}, losses of shape {np.shape(losses)}"
        )
    if not np.all(np.isfinite(rates)) or np.any(rates <= 0) or np.any(np.diff(rates) <= 0):
        raise ValueError("Argument `learning_rates` must be finite, positive and strictly increasing.")
    return rates, middle


def _trouble(losses: Array) -> str:
    values = losses[np.isfinite(losses)]
    if len(values) < MIN_POINTS:
        return (
            f"There are {len(values)} finite losses and at least {MIN_POINTS} are needed: raise `num_steps`, "
            "give more data, or lower `min_learning_rate` if the loss became NaN."
        )
    if np.ptp(values) <= FLOAT_NOISE * np.abs(values).max():
        return "The loss is constant: it does not depend on the learning rate, or no weight is trainable."
    return ""
