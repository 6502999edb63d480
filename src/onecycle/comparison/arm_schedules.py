"""The schedules that an arm can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from keras.optimizers.schedules import LearningRateSchedule

from onecycle.schedules import OneCycle
from onecycle.schedules.warmup import WarmupLinearDecay, WarmupStableDecay

ArmSchedule: TypeAlias = Callable[[int, float], LearningRateSchedule]  # (total_steps, max_learning_rate) -> schedule

PLAIN = "none"  # a plain `fit`

# None stands for the default of `fit_one_cycle`.
SCHEDULES: dict[str, ArmSchedule | None] = {
    "one_cycle": None,
    "constant": lambda steps, rate: WarmupStableDecay(rate, steps, warmup_fraction=0.0, decay_fraction=0.0),
    "pytorch": lambda steps, peak: OneCycle.pytorch(peak, steps),
    "warmup_linear": lambda steps, peak: WarmupLinearDecay(peak, steps),
    "warmup_stable": lambda steps, peak: WarmupStableDecay(peak, steps),
}
