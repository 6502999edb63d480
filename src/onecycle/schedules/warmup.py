"""Schedules with a linear warm-up: followed by a decay, or by a plateau and a decay."""

from __future__ import annotations

import keras

from onecycle.schedules.base import PhasedSchedule
from onecycle.schedules.phases import warmup_linear_phases, warmup_stable_phases
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import (
    check_choice,
    check_fractions,
    check_integer,
    check_learning_rate,
    check_number,
)


@keras.saving.register_keras_serializable(package="onecycle")
class WarmupLinearDecay(PhasedSchedule):
    """A linear rise to the peak, then a linear fall to the last learning rate over all remaining steps.

    A simple and strong choice for a run of known length. The fall to zero has the effect of averaging the weights.

    With η1 = `max_learning_rate`, T = `total_steps` and w = clip(round(`warmup_fraction` · T), 1, T - 2) (0 if the
    fraction is 0 or T < 3): the rate is η1 · (i + 1) / (w + 1) at step i ≤ w. So no step has a rate of zero, and
    step w has exactly η1. From there the rate falls linearly to `final_learning_rate`, which step T - 1 has exactly.
    For T = 1 the rate is η1.

    Example:
        >>> WarmupLinearDecay(1000.0, 10, warmup_fraction=0.3).values().round(1).tolist()
        [250.0, 500.0, 750.0, 1000.0, 833.3, 666.7, 500.0, 333.3, 166.7, 0.0]

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the schedule in steps (training batches), at least 1.
        warmup_fraction: Fraction of the schedule spent rising, 0 to 1.
        final_learning_rate: Rate of the last step and of every later one, 0 to `max_learning_rate`.
        start_step: Step at which the schedule begins; before it, the rate is that of the first step.

    Raises:
        ValueError: For an argument outside its range.

    References:
        Defazio et al., When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement, 2023,
        https://arxiv.org/abs/2310.07831.
    """

    @suggest_names()
    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        *,
        warmup_fraction: float = 0.1,
        final_learning_rate: float = 0.0,
        start_step: int = 0,
    ) -> None:
        self.max_learning_rate = check_learning_rate("max_learning_rate", max_learning_rate)
        self.total_steps = check_integer("total_steps", total_steps)
        self.warmup_fraction = check_number("warmup_fraction", warmup_fraction, minimum=0, maximum=1)
        self.final_learning_rate = check_number(
            "final_learning_rate", final_learning_rate, minimum=0, maximum=self.max_learning_rate
        )
        phases = warmup_linear_phases(
            self.max_learning_rate,
            self.total_steps,
            warmup_fraction=self.warmup_fraction,
            final_learning_rate=self.final_learning_rate,
        )
        self._set_phases(phases, start_step)


@keras.saving.register_keras_serializable(package="onecycle")
class WarmupStableDecay(PhasedSchedule):
    """A linear rise to the peak, a long plateau, then a decay to zero; also known as a trapezoidal schedule.

    For a run whose length may change, since only the decay depends on the length.

    With η1 = `max_learning_rate`, T = `total_steps`, w as in `WarmupLinearDecay`, n = clip(round(`decay_fraction` ·
    T), 1, T - 1 - w) (0 if the fraction is 0) and d = T - 1 - n: the rate is η1 · (i + 1) / (w + 1) up to step w, η1
    up to step d and then, with p = (i - d) / n, η1 · (1 - sqrt(p)), η1 · (1 - p) or η1 · (1 + cos(π p)) / 2, exactly 0
    at step T - 1. For T = 1 the rate is η1.

    Example:
        >>> WarmupStableDecay(1000.0, 10, warmup_fraction=0.2, decay_fraction=0.4).values().round(1).tolist()
        [333.3, 666.7, 1000.0, 1000.0, 1000.0, 1000.0, 500.0, 292.9, 134.0, 0.0]

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the schedule in steps (training batches), at least 1.
        warmup_fraction: Fraction of the schedule spent rising, 0 to 1.
        decay_fraction: Fraction of the schedule spent falling, 0 to 1; with 0 the rate stays at the peak.
        decay_shape: `"1-sqrt"`, `"linear"` or `"cosine"`.
        start_step: Step at which the schedule begins; before it, the rate is that of the first step.

    Raises:
        ValueError: For an argument outside its range, or fractions whose sum exceeds 1.

    References:
        Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, 2024,
        https://arxiv.org/abs/2405.18392, section 3.
    """

    @suggest_names()
    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        *,
        warmup_fraction: float = 0.1,
        decay_fraction: float = 0.2,
        decay_shape: str = "1-sqrt",
        start_step: int = 0,
    ) -> None:
        self.max_learning_rate = check_learning_rate("max_learning_rate", max_learning_rate)
        self.total_steps = check_integer("total_steps", total_steps)
        self.warmup_fraction = check_number("warmup_fraction", warmup_fraction, minimum=0, maximum=1)
        self.decay_fraction = check_number("decay_fraction", decay_fraction, minimum=0, maximum=1)
        check_fractions(warmup_fraction=self.warmup_fraction, decay_fraction=self.decay_fraction)
        self.decay_shape = check_choice("decay_shape", decay_shape, ("1-sqrt", "linear", "cosine"))
        phases = warmup_stable_phases(
            self.max_learning_rate,
            self.total_steps,
            warmup_fraction=self.warmup_fraction,
            decay_fraction=self.decay_fraction,
            decay_shape=self.decay_shape,
        )
        self._set_phases(phases, start_step)
