"""Learning-rate schedules for Keras: one cycle, warm-up and decay, warm-up, plateau and decay, and cyclical rates."""

import keras

# The peers' forms are imported so that a model saved with one of them loads with nothing but this module.
from onecycle import curves, peer_schedules, recipes  # noqa: F401
from onecycle._schedule_base import MomentumSchedule, PhasedSchedule, Schedule, count, fractions, number, one_of
from onecycle.one_cycle_schedule import OneCycle as OneCycle

__all__ = ["CyclicalLearningRate", "OneCycle", "WarmupLinearDecay", "WarmupStableDecay"]


@keras.saving.register_keras_serializable(package="onecycle")
class WarmupLinearDecay(PhasedSchedule):
    """A linear rise to the peak, then a linear fall to the last rate over all the steps that are left.

    The plain, strong choice for a run of known length. The fall to zero does what averaging the weights would do.

    With η1 = `max_learning_rate`, T = `total_steps` and w = clip(round(`warmup_fraction` · T), 1, T - 2) (0 if the
    fraction is 0 or T < 3): the rate is η1 · (i + 1) / (w + 1) at step i ≤ w, so the first step is not wasted on a
    rate of zero and step w has exactly η1, and falls linearly from there to `final_learning_rate`, exactly at step
    T - 1. T = 1 is η1.

    Example:
        >>> WarmupLinearDecay(1000.0, 10, warmup_fraction=0.3).values().round(1).tolist()
        [250.0, 500.0, 750.0, 1000.0, 833.3, 666.7, 500.0, 333.3, 166.7, 0.0]

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the schedule in steps (training batches), at least 1.
        warmup_fraction: Part of the schedule spent rising, 0 to 1.
        final_learning_rate: The rate of the last step and every later one, 0 to `max_learning_rate`.
        start_step: Step at which the schedule begins; before it the first rate is held.

    Raises:
        ValueError: For an argument outside its range.

    References:
        Defazio et al., When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement, 2023,
        https://arxiv.org/abs/2310.07831.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        *,
        warmup_fraction: float = 0.1,
        final_learning_rate: float = 0.0,
        start_step: int = 0,
    ) -> None:
        self.max_learning_rate = number("max_learning_rate", max_learning_rate, above=0)
        self.total_steps = count("total_steps", total_steps)
        self.warmup_fraction = number("warmup_fraction", warmup_fraction, least=0, most=1)
        self.final_learning_rate = number(
            "final_learning_rate", final_learning_rate, least=0, most=self.max_learning_rate
        )
        phases = recipes.warmup_linear_decay(
            self.max_learning_rate,
            self.total_steps,
            warmup_fraction=self.warmup_fraction,
            final_learning_rate=self.final_learning_rate,
        )
        self._finish(phases, start_step)


@keras.saving.register_keras_serializable(package="onecycle")
class WarmupStableDecay(PhasedSchedule):
    """A linear rise to the peak, a long plateau, then a decay to zero; also called trapezoid or cooldown.

    For a run whose length may change: only the decay depends on where it ends.

    With η1 = `max_learning_rate`, T = `total_steps`, w as in `WarmupLinearDecay`, n = clip(round(`decay_fraction` ·
    T), 1, T - 1 - w) (0 if the fraction is 0) and d = T - 1 - n: the rate is η1 · (i + 1) / (w + 1) up to step w, η1
    up to step d and then, with p = (i - d) / n, η1 · (1 - sqrt(p)), η1 · (1 - p) or η1 · (1 + cos(π p)) / 2, exactly 0
    at step T - 1. T = 1 is η1.

    Example:
        >>> WarmupStableDecay(1000.0, 10, warmup_fraction=0.2, decay_fraction=0.4).values().round(1).tolist()
        [333.3, 666.7, 1000.0, 1000.0, 1000.0, 1000.0, 500.0, 292.9, 134.0, 0.0]

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the schedule in steps (training batches), at least 1.
        warmup_fraction: Part of the schedule spent rising, 0 to 1.
        decay_fraction: Part of the schedule spent falling, 0 to 1; with 0 the rate stays at the peak.
        decay_shape: `"1-sqrt"`, `"linear"` or `"cosine"`.
        start_step: Step at which the schedule begins; before it the first rate is held.

    Raises:
        ValueError: For an argument outside its range, or fractions that sum above 1.

    References:
        Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, 2024,
        https://arxiv.org/abs/2405.18392, section 3.
    """

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
        self.max_learning_rate = number("max_learning_rate", max_learning_rate, above=0)
        self.total_steps = count("total_steps", total_steps)
        self.warmup_fraction = number("warmup_fraction", warmup_fraction, least=0, most=1)
        self.decay_fraction = number("decay_fraction", decay_fraction, least=0, most=1)
        fractions(warmup_fraction=self.warmup_fraction, decay_fraction=self.decay_fraction)
        self.decay_shape = one_of("decay_shape", decay_shape, ("1-sqrt", "linear", "cosine"))
        phases = recipes.warmup_stable_decay(
            self.max_learning_rate,
            self.total_steps,
            warmup_fraction=self.warmup_fraction,
            decay_fraction=self.decay_fraction,
            decay_shape=self.decay_shape,
        )
        self._finish(phases, start_step)


@keras.saving.register_keras_serializable(package="onecycle")
class CyclicalLearningRate(Schedule):
    """A rate that swings up and down between two values for as long as training lasts.

    For training without a known end, or for looking at a range of rates again and again.

    With b = `base_learning_rate`, m = `max_learning_rate`, s = `step_size`: at step i the rate is b + (m - b) · u · g,
    where u = 1 - |(i mod 2s) - s| / s, and g is 1 (`triangular`), 0.5^(i // 2s) (`triangular2`) or `gamma`^i
    (`exp_range`). `total_steps`, the default length of `values`, is one cycle, 2s.

    Example:
        >>> CyclicalLearningRate(0.0, 1000.0, 2, mode="triangular2").values(9).tolist()
        [0.0, 500.0, 1000.0, 500.0, 0.0, 250.0, 500.0, 250.0, 0.0]

    Args:
        base_learning_rate: Lower end, at least 0 and at most `max_learning_rate`.
        max_learning_rate: Upper end, above 0.
        step_size: Half a cycle, in steps (training batches), at least 1.
        mode: `"triangular"`, `"triangular2"` or `"exp_range"`.
        gamma: Shrinks the swing by this factor each step for `"exp_range"`; above 0, at most 1.
        start_step: Step at which the first cycle begins; before it the lower end is held.

    Raises:
        ValueError: For an argument outside its range.

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2015, https://arxiv.org/abs/1506.01186, section 3.
        The numbers are those of `torch.optim.lr_scheduler.CyclicLR`, 2.13, with `step_size_up=step_size`.
    """

    def __init__(
        self,
        base_learning_rate: float,
        max_learning_rate: float,
        step_size: int,
        *,
        mode: str = "triangular",
        gamma: float = 1.0,
        start_step: int = 0,
    ) -> None:
        self.max_learning_rate = number("max_learning_rate", max_learning_rate, above=0)
        self.base_learning_rate = number("base_learning_rate", base_learning_rate, least=0, most=self.max_learning_rate)
        self.step_size = count("step_size", step_size)
        self.mode = one_of("mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = number("gamma", gamma, above=0, most=1)
        self.total_steps = 2 * self.step_size
        self._follow(
            self._cyclical(self.base_learning_rate, self.max_learning_rate, count("start_step", start_step, least=0))
        )

    def momentum(self, *, high: float = 0.95, low: float = 0.85) -> MomentumSchedule:
        """Returns the matching momentum, the rate's mirror image: `high` at the bottom, `low` at the first peak.

        Example:
            >>> CyclicalLearningRate(0.0, 1000.0, 2).momentum().values(5).round(2).tolist()
            [0.95, 0.9, 0.85, 0.9, 0.95]

        Args:
            high: Momentum where the rate is low, below 1.
            low: Momentum at the rate's upper end, 0 to `high`.

        Raises:
            ValueError: For a pair that is not 0 <= low <= high < 1.
        """
        return MomentumSchedule(self, high, low)

    def _momentum_curve(self, high: float, low: float) -> curves.CyclicalCurve:
        return self._cyclical(high, low, self.start_step)

    def _cyclical(self, base: float, peak: float, start_step: int) -> curves.CyclicalCurve:
        return curves.CyclicalCurve(
            base, peak, step_size=self.step_size, mode=self.mode, gamma=self.gamma, start_step=start_step
        )
