"""The base class of one cycle in all its variants."""

from __future__ import annotations

from onecycle.schedules.base import PhasedSchedule
from onecycle.schedules.curves import Curve
from onecycle.schedules.momentum import MomentumSchedule
from onecycle.schedules.phases import momentum_phases


class CycleSchedule(PhasedSchedule):
    """Abstract base class of one cycle: `OneCycle` and its variants in PyTorch, fastai and optax.

    Every variant describes its cycle by the attributes below, whatever its arguments are called.

    Attributes:
        max_learning_rate: The peak.
        total_steps: Length of the cycle in steps (training batches).
        start_step: Step at which the cycle begins.
        warmup_fraction: Fraction of the cycle spent rising, 0 to 1; None for half of what precedes the final drop.
        final_fraction: Fraction of the cycle that is the final drop, 0 to 1.
        initial_divisor: The first learning rate is `max_learning_rate / initial_divisor`.
        final_divisor: The last rate is the first rate divided by this.
        shape: `"linear"` or `"cosine"`, of every phase.
    """

    max_learning_rate: float
    warmup_fraction: float | None
    final_fraction: float
    initial_divisor: float
    final_divisor: float
    shape: str

    def momentum(self, *, high: float = 0.95, low: float = 0.85) -> MomentumSchedule:
        """Return the matching momentum: `high` to `low` in the warm-up, back in the decay, `high` in the final drop.

        Example:
            >>> OneCycle(1000.0, 12).momentum().values().round(2).tolist()
            [0.95, 0.93, 0.91, 0.89, 0.87, 0.85, 0.87, 0.89, 0.91, 0.93, 0.95, 0.95]

        Args:
            high: Momentum at low learning rates, below 1.
            low: Momentum at the peak, 0 to `high`.

        Returns:
            A schedule with the phases of this one.

        Raises:
            ValueError: Unless 0 <= low <= high < 1.

        References:
            Smith 2018, section 4.3; the phases are those of `torch.optim.lr_scheduler.OneCycleLR`, 2.13.
        """
        return MomentumSchedule(self, high, low)

    def _momentum_curve(self, high: float, low: float) -> Curve:
        phases = momentum_phases(self._curve.phases, high, low)
        return Curve(phases, start_step=self.start_step, last_step=self._curve.end)
