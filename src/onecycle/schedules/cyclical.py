"""The cyclical learning rate."""

from __future__ import annotations

import keras

from onecycle.schedules.base import Schedule
from onecycle.schedules.curves import CyclicalCurve
from onecycle.schedules.momentum import MomentumSchedule
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_choice, check_integer, check_learning_rate, check_number


@keras.saving.register_keras_serializable(package="onecycle")
class CyclicalLearningRate(Schedule):
    """A learning rate that oscillates between two values for as long as training lasts.

    For training of unknown length, or to pass through a range of learning rates repeatedly.

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
        gamma: Factor per step on the amplitude for `"exp_range"`; above 0, at most 1.
        start_step: Step at which the first cycle begins; before it, the learning rate is `base_learning_rate`.

    Raises:
        ValueError: For an argument outside its range.

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2015, https://arxiv.org/abs/1506.01186, section 3.
        The values are those of `torch.optim.lr_scheduler.CyclicLR`, 2.13, with `step_size_up=step_size`.
    """

    @suggest_names()
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
        self.max_learning_rate = check_learning_rate("max_learning_rate", max_learning_rate)
        self.base_learning_rate = check_number(
            "base_learning_rate", base_learning_rate, minimum=0, maximum=self.max_learning_rate
        )
        self.step_size = check_integer("step_size", step_size)
        self.mode = check_choice("mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = check_number("gamma", gamma, above=0, maximum=1)
        self.total_steps = 2 * self.step_size
        start_step = check_integer("start_step", start_step, minimum=0)
        self._set_curve(self._cyclical_curve(self.base_learning_rate, self.max_learning_rate, start_step))

    def momentum(self, *, high: float = 0.95, low: float = 0.85) -> MomentumSchedule:
        """Return the matching momentum, which mirrors the learning rate: `high` at the bottom, `low` at the first peak.

        Example:
            >>> CyclicalLearningRate(0.0, 1000.0, 2).momentum().values(5).round(2).tolist()
            [0.95, 0.9, 0.85, 0.9, 0.95]

        Args:
            high: Momentum at the lower end of the learning rate, below 1.
            low: Momentum at the first peak, 0 to `high`.

        Returns:
            A schedule that oscillates with this one.

        Raises:
            ValueError: Unless 0 <= low <= high < 1.
        """
        return MomentumSchedule(self, high, low)

    def _momentum_curve(self, high: float, low: float) -> CyclicalCurve:
        return self._cyclical_curve(high, low, self.start_step)

    # The rate and the momentum differ only in the values between which they oscillate.
    def _cyclical_curve(self, base: float, peak: float, start_step: int) -> CyclicalCurve:
        return CyclicalCurve(
            base, peak, step_size=self.step_size, mode=self.mode, gamma=self.gamma, start_step=start_step
        )
