"""The one-cycle schedule, in its own words and in those of PyTorch, fastai and optax."""

import keras

from onecycle.schedules import curves
from onecycle.schedules.base import PhasedSchedule
from onecycle.schedules.momentum import MomentumSchedule
from onecycle.schedules.phases import momentum_phases, one_cycle_phases
from onecycle.suggestions.arguments import count, fractions, number, one_of

_DIVISOR_REMEDY = "A divisor of 1 starts or ends at the rate it divides"


@keras.saving.register_keras_serializable(package="onecycle")
class OneCycle(PhasedSchedule):
    """One cycle: the rate rises to a peak, falls back, and drops to almost nothing in the last steps.

    Training with a rate far above what a constant rate allows, for a part of the run, tends to train faster and to
    generalise better; give the optimizer `schedule.momentum()` too, with `onecycle.schedule_hyperparameters`.

    With η1 = `max_learning_rate`, η0 = η1 / `initial_divisor`, the last rate η0 / `final_divisor` and T =
    `total_steps` ≥ 3: the last n = max(1, floor(`final_fraction` · T)) steps are the final drop, which starts at
    d = T - 1 - n; the peak is at the whole step p = max(1, d // 2), or clip(round(`warmup_fraction` · (T - 1)), 1, d).
    The rate goes (0, η0) → (p, η1) → (d, η0) → (T - 1, last rate), and stays. Without a final drop, or with a warm-up
    that leaves no step for the fall, it goes (0, η0) → (p, η1) → (T - 1, last rate). T = 2 is η0, last rate; T = 1 is
    η0.

    Example:
        >>> OneCycle(1000.0, 12).values().round(1).tolist()
        [100.0, 280.0, 460.0, 640.0, 820.0, 1000.0, 820.0, 640.0, 460.0, 280.0, 100.0, 0.1]

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the cycle in steps (training batches), at least 1.
        warmup_fraction: Part of the cycle spent rising, 0 to 1; by default half of what comes before the final drop.
        final_fraction: Part of the cycle that is the final drop, 0 to 1; 0 for none.
        initial_divisor: The first rate is `max_learning_rate / initial_divisor`; at least 1.
        final_divisor: The last rate is the first rate divided by this; at least 1.
        shape: `"linear"` or `"cosine"`, of every phase.
        start_step: Step at which the cycle begins; before it the first rate is held.

    Raises:
        ValueError: For an argument outside its range, or fractions that sum above 1.

    References:
        Smith, A disciplined approach to neural network hyper-parameters, 2018, https://arxiv.org/abs/1803.09820,
        section 4.1. Smith and Topin, Super-Convergence, 2017, https://arxiv.org/abs/1708.07120.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        *,
        warmup_fraction: float | None = None,
        final_fraction: float = 0.1,
        initial_divisor: float = 10.0,
        final_divisor: float = 1000.0,
        shape: str = "linear",
        start_step: int = 0,
    ) -> None:
        self.max_learning_rate = number("max_learning_rate", max_learning_rate, above=0)
        self.total_steps = count("total_steps", total_steps)
        self.warmup_fraction = (
            None if warmup_fraction is None else number("warmup_fraction", warmup_fraction, least=0, most=1)
        )
        self.final_fraction = number("final_fraction", final_fraction, least=0, most=1)
        fractions(warmup_fraction=self.warmup_fraction, final_fraction=self.final_fraction)
        self.initial_divisor = number("initial_divisor", initial_divisor, least=1, remedy=_DIVISOR_REMEDY)
        self.final_divisor = number("final_divisor", final_divisor, least=1, remedy=_DIVISOR_REMEDY)
        self.shape = one_of("shape", shape, ("linear", "cosine"))
        phases = one_cycle_phases(
            self.max_learning_rate,
            self.total_steps,
            warmup_fraction=self.warmup_fraction,
            final_fraction=self.final_fraction,
            initial_divisor=self.initial_divisor,
            final_divisor=self.final_divisor,
            shape=self.shape,
        )
        self._finish(phases, start_step)

    def momentum(self, *, high: float = 0.95, low: float = 0.85) -> MomentumSchedule:
        """Returns the matching momentum: from `high` to `low` in the warm-up, back in the fall, `high` in the drop.

        Example:
            >>> OneCycle(1000.0, 12).momentum().values().round(2).tolist()
            [0.95, 0.93, 0.91, 0.89, 0.87, 0.85, 0.87, 0.89, 0.91, 0.93, 0.95, 0.95]

        Args:
            high: Momentum where the rate is low, below 1.
            low: Momentum at the rate's peak, 0 to `high`.

        Raises:
            ValueError: For a pair that is not 0 <= low <= high < 1.

        References:
            Smith 2018, section 4.3; the phases are those of `torch.optim.lr_scheduler.OneCycleLR`, 2.13.
        """
        return MomentumSchedule(self, high, low)

    def _momentum_curve(self, high: float, low: float) -> curves.Curve:
        phases = momentum_phases(self._curve.phases, high, low)
        return curves.Curve(phases, start_step=self.start_step, last_step=self._curve.end)

    @staticmethod
    def pytorch(
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        *,
        start_step: int = 0,
    ) -> "OneCycle":
        """Returns the numbers of `torch.optim.lr_scheduler.OneCycleLR`, for repeating a PyTorch run.

        Two phases end at steps `pct_start * total_steps - 1` and `total_steps - 1`; three at `pct_start * total_steps
        - 1`, `2 * pct_start * total_steps - 2` and `total_steps - 1`; the ends may be fractional. The last step's rate
        is held. Where PyTorch divides by zero (`pct_start * total_steps == 1`) the rate begins at the end of the
        warm-up, as for any smaller `pct_start`; one step alone has the lowest rate.

        Example:
            >>> OneCycle.pytorch(1000.0, 10, anneal_strategy="linear").values().round(1).tolist()
            [40.0, 520.0, 1000.0, 857.1, 714.3, 571.4, 428.6, 285.7, 142.9, 0.0]

        Args:
            max_lr: The peak, above 0.
            total_steps: Length of the cycle in steps, at least 1.
            pct_start: Part of the cycle spent rising; a fraction, 0 to 1.
            anneal_strategy: `"cos"` or `"linear"`.
            div_factor: The first rate is `max_lr / div_factor`; at least 1.
            final_div_factor: The last rate is the first divided by this; at least 1.
            three_phase: Whether the fall back to the first rate is a phase of its own, as in the paper.
            start_step: Step at which the cycle begins.

        Raises:
            ValueError: For an argument outside its range.

        References:
            PyTorch 2.13, `torch/optim/lr_scheduler.py`.
        """
        from onecycle.schedules import peers

        return peers.OneCyclePyTorch(
            max_lr, total_steps, pct_start, anneal_strategy, div_factor, final_div_factor, three_phase,
            start_step=start_step,
        )  # fmt: skip

    @staticmethod
    def fastai(
        lr_max: float,
        total_steps: int,
        div: float = 25.0,
        div_final: float = 1e5,
        pct_start: float = 0.25,
        *,
        start_step: int = 0,
    ) -> "OneCycle":
        """Returns the numbers of fastai's `Learner.fit_one_cycle`, for repeating a fastai run.

        With p = step / `total_steps`: a cosine from `lr_max / div` to `lr_max` while p < `pct_start`, then one to
        `lr_max / div_final`, which step `total_steps` and every later one has, and step `total_steps - 1` not quite.

        Example:
            >>> OneCycle.fastai(1000.0, 8).values(10).round(1).tolist()
            [40.0, 520.0, 1000.0, 933.0, 750.0, 500.0, 250.0, 67.0, 0.0, 0.0]

        Args:
            lr_max: The peak, above 0.
            total_steps: Length of the cycle in steps, at least 1.
            div: The first rate is `lr_max / div`; at least 1.
            div_final: The last rate is `lr_max / div_final`, of the maximum; at least 1.
            pct_start: Part of the cycle spent rising; a fraction, 0 to 1.
            start_step: Step at which the cycle begins.

        Raises:
            ValueError: For an argument outside its range.

        References:
            fastai 2.8, `fastai/callback/schedule.py`.
        """
        from onecycle.schedules import peers

        return peers.OneCycleFastai(lr_max, total_steps, div, div_final, pct_start, start_step=start_step)

    @staticmethod
    def optax(
        transition_steps: int,
        peak_value: float,
        pct_start: float = 0.3,
        pct_final: float = 0.85,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        shape: str = "linear",
        *,
        start_step: int = 0,
    ) -> "OneCycle":
        """Returns the numbers of optax's `linear_onecycle_schedule` or `cosine_onecycle_schedule`.

        With T = `transition_steps`, the boundaries are the whole steps int(`pct_start` · T), int(`pct_final` · T)
        (linear only: the cosine falls in one piece) and T, which has the last rate, held afterwards. Where two fall on
        one step, and optax loses one of them, the phase between is left out and its neighbours are joined.

        Example:
            >>> OneCycle.optax(10, 1000.0, pct_final=0.8).values(12).round(1).tolist()
            [40.0, 360.0, 680.0, 1000.0, 808.0, 616.0, 424.0, 232.0, 40.0, 20.0, 0.0, 0.0]

        Args:
            transition_steps: Length of the cycle in steps, at least 1.
            peak_value: The peak, above 0.
            pct_start: Where the peak is; a fraction of the cycle, 0 to `pct_final`.
            pct_final: Where the final drop begins; a fraction of the cycle, 0 to 1.
            div_factor: The first rate is `peak_value / div_factor`; at least 1.
            final_div_factor: The last rate is the first divided by this; at least 1.
            shape: `"linear"` or `"cosine"`.
            start_step: Step at which the cycle begins.

        Raises:
            ValueError: For an argument outside its range.

        References:
            optax 0.2.8, `optax/schedules/_schedule.py`.
        """
        from onecycle.schedules import peers

        return peers.OneCycleOptax(
            transition_steps, peak_value, pct_start, pct_final, div_factor, final_div_factor, shape,
            start_step=start_step,
        )  # fmt: skip
