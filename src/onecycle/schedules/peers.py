"""One cycle as PyTorch, fastai and optax do it, in their own words; `OneCycle.pytorch` and its like make these."""

import keras

from onecycle.schedules.one_cycle import OneCycle
from onecycle.schedules.phases import fastai_phases, optax_phases, pytorch_phases
from onecycle.suggestions.arguments import count, number, one_of


@keras.saving.register_keras_serializable(package="onecycle")
class OneCyclePyTorch(OneCycle):
    """See `OneCycle.pytorch`."""

    _call = "OneCycle.pytorch"

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
        self.max_lr = number("max_lr", max_lr, above=0)
        self.total_steps = count("total_steps", total_steps)
        self.pct_start = number("pct_start", pct_start, least=0, most=1)
        self.anneal_strategy = one_of("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.div_factor = number("div_factor", div_factor, least=1)
        self.final_div_factor = number("final_div_factor", final_div_factor, least=1)
        if not isinstance(three_phase, bool):
            raise ValueError(f"Argument `three_phase` must be True or False. Received: three_phase={three_phase!r}")
        self.three_phase = three_phase
        phases = pytorch_phases(
            self.max_lr,
            self.total_steps,
            self.pct_start,
            self.anneal_strategy,
            self.div_factor,
            self.final_div_factor,
            self.three_phase,
        )
        self._finish(phases, start_step, last_step=self.total_steps - 1)


@keras.saving.register_keras_serializable(package="onecycle")
class OneCycleFastai(OneCycle):
    """See `OneCycle.fastai`."""

    _call = "OneCycle.fastai"

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
        self.lr_max = number("lr_max", lr_max, above=0)
        self.total_steps = count("total_steps", total_steps)
        self.div = number("div", div, least=1)
        self.div_final = number("div_final", div_final, least=1)
        self.pct_start = number("pct_start", pct_start, least=0, most=1)
        phases = fastai_phases(self.lr_max, self.total_steps, self.div, self.div_final, self.pct_start)
        self._finish(phases, start_step)


@keras.saving.register_keras_serializable(package="onecycle")
class OneCycleOptax(OneCycle):
    """See `OneCycle.optax`."""

    _call = "OneCycle.optax"

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
        self.transition_steps = count("transition_steps", transition_steps)
        self.peak_value = number("peak_value", peak_value, above=0)
        self.shape = one_of("shape", shape, ("linear", "cosine"))
        self.pct_final = number("pct_final", pct_final, least=0, most=1)
        most = self.pct_final if self.shape == "linear" else 1.0
        remedy = "The rise must end before the final drop, at `pct_final`"
        self.pct_start = number("pct_start", pct_start, least=0, most=most, remedy=remedy)
        self.div_factor = number("div_factor", div_factor, least=1)
        self.final_div_factor = number("final_div_factor", final_div_factor, least=1)
        self.total_steps = self.transition_steps
        phases = optax_phases(
            self.transition_steps,
            self.peak_value,
            self.pct_start,
            self.pct_final,
            self.div_factor,
            self.final_div_factor,
            self.shape,
        )
        self._finish(phases, start_step)
