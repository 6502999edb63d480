"""One cycle as PyTorch, fastai and optax define it, with their argument names.

`OneCycle.pytorch`, `OneCycle.fastai` and `OneCycle.optax` return these schedules.
"""

from __future__ import annotations

import keras

from onecycle.schedules.cycle import CycleSchedule
from onecycle.schedules.phases import fastai_phases, optax_phases, pytorch_phases
from onecycle.suggestions.arguments import check_choice, check_integer, check_learning_rate, check_number


@keras.saving.register_keras_serializable(package="onecycle")
class OneCyclePyTorch(CycleSchedule):
    """The schedule that `OneCycle.pytorch` returns."""

    _constructor = "OneCycle.pytorch"

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        *,
        start_step: int = 0,
    ) -> None:
        # Arguments are kept under PyTorch's names, for `get_config`, and under those of `CycleSchedule`.
        self.max_lr = self.max_learning_rate = check_learning_rate("max_lr", max_lr)
        self.total_steps = check_integer("total_steps", total_steps)
        self.pct_start = self.warmup_fraction = check_number("pct_start", pct_start, minimum=0, maximum=1)
        self.anneal_strategy = check_choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.div_factor = self.initial_divisor = check_number("div_factor", div_factor, minimum=1)
        self.final_div_factor = self.final_divisor = check_number("final_div_factor", final_div_factor, minimum=1)
        if not isinstance(three_phase, bool):
            raise ValueError(f"Argument `three_phase` must be True or False. Received: three_phase={three_phase!r}")
        self.three_phase = three_phase
        self.shape = {"cos": "cosine", "linear": "linear"}[self.anneal_strategy]
        # The rise and the fall take `pct_start` each.
        self.final_fraction = max(1.0 - 2 * self.pct_start, 0.0) if three_phase else 0.0
        phases = pytorch_phases(
            self.max_lr,
            self.total_steps,
            self.pct_start,
            self.anneal_strategy,
            self.div_factor,
            self.final_div_factor,
            self.three_phase,
        )
        self._set_phases(phases, start_step, last_step=self.total_steps - 1)


@keras.saving.register_keras_serializable(package="onecycle")
class OneCycleFastai(CycleSchedule):
    """The schedule that `OneCycle.fastai` returns."""

    _constructor = "OneCycle.fastai"

    def __init__(
        self,
        lr_max: float,
        total_steps: int,
        div: float = 25.0,
        div_final: float = 1e5,
        pct_start: float = 0.25,
        *,
        start_step: int = 0,
    ) -> None:
        self.lr_max = self.max_learning_rate = check_learning_rate("lr_max", lr_max)
        self.total_steps = check_integer("total_steps", total_steps)
        self.div = self.initial_divisor = check_number("div", div, minimum=1)
        self.div_final = check_number("div_final", div_final, minimum=1)
        # fastai divides the peak by `div_final`, not the first rate.
        self.final_divisor = self.div_final / self.div
        self.pct_start = self.warmup_fraction = check_number("pct_start", pct_start, minimum=0, maximum=1)
        self.final_fraction, self.shape = 0.0, "cosine"
        phases = fastai_phases(self.lr_max, self.total_steps, self.div, self.div_final, self.pct_start)
        self._set_phases(phases, start_step)


@keras.saving.register_keras_serializable(package="onecycle")
class OneCycleOptax(CycleSchedule):
    """The schedule that `OneCycle.optax` returns."""

    _constructor = "OneCycle.optax"

    def __init__(
        self,
        transition_steps: int,
        peak_value: float,
        pct_start: float = 0.3,
        pct_final: float = 0.85,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        shape: str = "linear",
        *,
        start_step: int = 0,
    ) -> None:
        self.transition_steps = self.total_steps = check_integer("transition_steps", transition_steps)
        self.peak_value = self.max_learning_rate = check_learning_rate("peak_value", peak_value)
        self.shape = check_choice("shape", shape, ("linear", "cosine"))
        self.pct_final = check_number("pct_final", pct_final, minimum=0, maximum=1)
        is_linear = self.shape == "linear"
        # The cosine ignores `pct_final`, so its peak may come later.
        latest_peak = self.pct_final if is_linear else 1.0
        remedy = "The rise must end before the final drop, at `pct_final`"
        self.pct_start = check_number("pct_start", pct_start, minimum=0, maximum=latest_peak, remedy=remedy)
        self.warmup_fraction = self.pct_start
        # The cosine falls in one piece, without a final drop.
        self.final_fraction = 1.0 - self.pct_final if is_linear else 0.0
        self.div_factor = self.initial_divisor = check_number("div_factor", div_factor, minimum=1)
        self.final_div_factor = self.final_divisor = check_number("final_div_factor", final_div_factor, minimum=1)
        phases = optax_phases(
            self.transition_steps,
            self.peak_value,
            self.pct_start,
            self.pct_final,
            self.div_factor,
            self.final_div_factor,
            self.shape,
        )
        self._set_phases(phases, start_step)
