"""Schedules of every kind and shape, long and short, for tests of what holds for each."""

from onecycle.schedules import CyclicalLearningRate, OneCycle, WarmupLinearDecay, WarmupStableDecay

RATES = [
    OneCycle(0.3, 100),
    OneCycle(0.3, 100, final_fraction=0.0, shape="cosine"),
    OneCycle(0.3, 3, initial_divisor=7.0),
    OneCycle(0.3, 1),
    OneCycle.pytorch(0.3, 37),
    OneCycle.pytorch(0.3, 37, three_phase=True, pct_start=0.6),
    OneCycle.pytorch(0.3, 37, three_phase=True, anneal_strategy="linear", pct_start=0.41),
    OneCycle.pytorch(0.3, 1),
    OneCycle.fastai(0.3, 37),
    OneCycle.fastai(0.3, 10, pct_start=1.0),
    OneCycle.optax(37, 0.3),
    OneCycle.optax(37, 0.3, shape="cosine"),
    WarmupLinearDecay(0.3, 100),
    WarmupLinearDecay(0.3, 1),
    WarmupStableDecay(0.3, 100),
    WarmupStableDecay(0.3, 100, decay_shape="cosine", warmup_fraction=0.0),
    WarmupStableDecay(0.3, 100, decay_fraction=0.0),
    CyclicalLearningRate(0.01, 0.3, 8),
    CyclicalLearningRate(0.01, 0.3, 8, mode="triangular2", start_step=3),
    CyclicalLearningRate(0.01, 0.3, 8, mode="exp_range", gamma=0.99),
]
MOMENTA = [schedule.momentum(high=0.9, low=0.8) for schedule in RATES if hasattr(schedule, "momentum")]
SCHEDULES = RATES + MOMENTA
