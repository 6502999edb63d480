"""`OneCycle`: the 1cycle schedule, and its variants in PyTorch, fastai and optax."""

from __future__ import annotations

import keras

from onecycle.schedules import peers
from onecycle.schedules.cycle import CycleSchedule
from onecycle.schedules.phases import one_cycle_phases
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import (
    check_choice,
    check_fractions,
    check_integer,
    check_learning_rate,
    check_number,
)

_DIVISOR_REMEDY = "With a divisor of 1, the cycle starts or ends at the rate that is divided"


@keras.saving.register_keras_serializable(package="onecycle")
class OneCycle(CycleSchedule):
    """One cycle: the learning rate rises to a peak, falls back, and drops to almost zero in the last steps.

    For a part of the training, the learning rate is far above what a constant one could be. This tends to make
    training faster and the model generalize better. Schedule the momentum as well, by `schedule.momentum()` and
    `onecycle.schedule_hyperparameters`.

    With η1 = `max_learning_rate`, η0 = η1 / `initial_divisor`, the last rate η0 / `final_divisor` and T =
    `total_steps` ≥ 3: the last n = max(1, floor(`final_fraction` · T)) steps are the final drop, which starts at
    d = T - 1 - n; the peak is at the whole step p = max(1, d // 2), or clip(round(`warmup_fraction` · (T - 1)), 1, d).
    The rate goes (0, η0) → (p, η1) → (d, η0) → (T - 1, last rate) and is constant afterwards. Without a final drop, or
    with a warm-up that leaves no step for the fall, it goes (0, η0) → (p, η1) → (T - 1, last rate). For T = 2 the rates
    are η0 and the last rate; for T = 1 the rate is η0.

    Example:
        >>> OneCycle(1000.0, 12).values().round(1).tolist()
        [100.0, 280.0, 460.0, 640.0, 820.0, 1000.0, 820.0, 640.0, 460.0, 280.0, 100.0, 0.1]

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the cycle in steps (training batches), at least 1.
        warmup_fraction: Fraction of the cycle spent rising, 0 to 1. Defaults to half of what precedes the final drop.
        final_fraction: Fraction of the cycle that is the final drop, 0 to 1; 0 for none.
        initial_divisor: The first rate is `max_learning_rate / initial_divisor`; at least 1.
        final_divisor: The last rate is the first rate divided by this; at least 1.
        shape: `"linear"` or `"cosine"`, of every phase.
        start_step: Step at which the cycle begins; before it, the rate is that of the first step.

    Raises:
        ValueError: For an argument outside its range, or fractions whose sum exceeds 1.

    References:
        Smith, A disciplined approach to neural network hyper-parameters, 2018, https://arxiv.org/abs/1803.09820,
        section 4.1. Smith and Topin, Super-Convergence, 2017, https://arxiv.org/abs/1708.07120.
    """

    @suggest_names()
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
        self.max_learning_rate = check_learning_rate("max_learning_rate", max_learning_rate)
        self.total_steps = check_integer("total_steps", total_steps)
        self.warmup_fraction = (
            None if warmup_fraction is None else check_number("warmup_fraction", warmup_fraction, minimum=0, maximum=1)
        )
        self.final_fraction = check_number("final_fraction", final_fraction, minimum=0, maximum=1)
        check_fractions(warmup_fraction=self.warmup_fraction, final_fraction=self.final_fraction)
        self.initial_divisor = check_number("initial_divisor", initial_divisor, minimum=1, remedy=_DIVISOR_REMEDY)
        self.final_divisor = check_number("final_divisor", final_divisor, minimum=1, remedy=_DIVISOR_REMEDY)
        self.shape = check_choice("shape", shape, ("linear", "cosine"))
        phases = one_cycle_phases(
            self.max_learning_rate,
            self.total_steps,
            warmup_fraction=self.warmup_fraction,
            final_fraction=self.final_fraction,
            initial_divisor=self.initial_divisor,
            final_divisor=self.final_divisor,
            shape=self.shape,
        )
        self._set_phases(phases, start_step)

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
    ) -> CycleSchedule:
        """Return a schedule with the values of `torch.optim.lr_scheduler.OneCycleLR`, to reproduce a PyTorch run.

        Two phases end at steps `pct_start * total_steps - 1` and `total_steps - 1`; three at `pct_start * total_steps
        - 1`, `2 * pct_start * total_steps - 2` and `total_steps - 1`; the ends may be fractional. The rate is constant
        after the last step. Where PyTorch divides by zero (`pct_start * total_steps == 1`) the rate begins at the end
        of the warm-up, as for any smaller `pct_start`. A cycle of one step has the lowest rate.

        Example:
            >>> OneCycle.pytorch(1000.0, 10, anneal_strategy="linear").values().round(1).tolist()
            [40.0, 520.0, 1000.0, 857.1, 714.3, 571.4, 428.6, 285.7, 142.9, 0.0]

        Args:
            max_lr: The peak, above 0.
            total_steps: Length of the cycle in steps, at least 1.
            pct_start: Fraction of the cycle spent rising, 0 to 1.
            anneal_strategy: `"cos"` or `"linear"`.
            div_factor: The first rate is `max_lr / div_factor`; at least 1.
            final_div_factor: The last rate is the first divided by this; at least 1.
            three_phase: Whether the fall to the first rate and the final drop are separate phases, as in the paper.
            start_step: Step at which the cycle begins.

        Returns:
            The schedule. Its `repr` is this call.

        Raises:
            ValueError: For an argument outside its range.

        References:
            PyTorch 2.13, `torch/optim/lr_scheduler.py`.
        """
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
    ) -> CycleSchedule:
        """Return a schedule with the values of fastai's `Learner.fit_one_cycle`, to reproduce a fastai run.

        With p = step / `total_steps`: a cosine from `lr_max / div` to `lr_max` while p < `pct_start`, then a cosine to
        `lr_max / div_final`. That rate is reached at step `total_steps`, one step after the last step of the cycle,
        and is constant afterwards.

        Example:
            >>> OneCycle.fastai(1000.0, 8).values(10).round(1).tolist()
            [40.0, 520.0, 1000.0, 933.0, 750.0, 500.0, 250.0, 67.0, 0.0, 0.0]

        Args:
            lr_max: The peak, above 0.
            total_steps: Length of the cycle in steps, at least 1.
            div: The first rate is `lr_max / div`; at least 1.
            div_final: The last rate is `lr_max / div_final`; at least 1.
            pct_start: Fraction of the cycle spent rising, 0 to 1.
            start_step: Step at which the cycle begins.

        Returns:
            The schedule. Its `repr` is this call.

        Raises:
            ValueError: For an argument outside its range.

        References:
            fastai 2.8, `fastai/callback/schedule.py`.
        """
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
    ) -> CycleSchedule:
        """Return a schedule with the values of optax's `linear_onecycle_schedule` or `cosine_onecycle_schedule`.

        With T = `transition_steps`, the boundaries are the whole steps int(`pct_start` · T), int(`pct_final` · T)
        (linear only: the cosine falls in one piece) and T, from which on the rate is constant at the last rate. Where
        two boundaries fall on one step, optax loses one of them; here the phase between them is left out and its
        neighbors are joined.

        Example:
            >>> OneCycle.optax(10, 1000.0, pct_final=0.8).values(12).round(1).tolist()
            [40.0, 360.0, 680.0, 1000.0, 808.0, 616.0, 424.0, 232.0, 40.0, 20.0, 0.0, 0.0]

        Args:
            transition_steps: Length of the cycle in steps, at least 1.
            peak_value: The peak, above 0.
            pct_start: Position of the peak as a fraction of the cycle, 0 to `pct_final`.
            pct_final: Start of the final drop as a fraction of the cycle, 0 to 1. Unused for `shape="cosine"`.
            div_factor: The first rate is `peak_value / div_factor`; at least 1.
            final_div_factor: The last rate is the first divided by this; at least 1.
            shape: `"linear"` or `"cosine"`.
            start_step: Step at which the cycle begins.

        Returns:
            The schedule. Its `repr` is this call.

        Raises:
            ValueError: For an argument outside its range.

        References:
            optax 0.2.8, `optax/schedules/_schedule.py`.
        """
        return peers.OneCycleOptax(
            transition_steps, peak_value, pct_start, pct_final, div_factor, final_div_factor, shape,
            start_step=start_step,
        )  # fmt: skip
